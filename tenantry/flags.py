"""Settings as documented dataclasses: each field has a flag, an environment variable, a default, and the reason for it.

A flag wins over the environment, the environment over the default. `--bind-address` is read from `TENANTRY_BIND_ADDRESS`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar


class SettingError(Exception):
    """A setting has a value that cannot be used; the text names the setting and what it takes."""


Chosen = TypeVar("Chosen")


def setting(default: Any, text: str, why: str) -> Any:
    """A field of a settings dataclass: what it is, and why that is the default."""
    return dataclasses.field(default=default, metadata={"text": text, "why": why})


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    return "TENANTRY_" + name.upper()


def check_bounds(settings: Any, bounds: Iterable[tuple[str, float, float]]) -> None:
    """Raises SettingError where a number is not between its lowest and highest value."""
    for name, low, high in bounds:
        value = getattr(settings, name)
        if not low <= value <= high:
            raise SettingError(f"{flag(name)} must be from {low} to {high}, not {value}")


def check_choice(settings: Any, name: str, choices: tuple[str, ...]) -> None:
    """Raises SettingError where a text is none of those that are known."""
    value = getattr(settings, name)
    if value not in choices:
        raise SettingError(f"{flag(name)} must be {', '.join(choices[:-1])} or {choices[-1]}, not {value!r}")


def check_together(settings: Any, *names: str) -> None:
    """Raises SettingError where some of these are given and others are not."""
    if len({bool(getattr(settings, name)) for name in names}) > 1:
        raise SettingError(f"{' and '.join(map(flag, names))} need each other")


def add_flags(parser: argparse.ArgumentParser, kind: type[Any]) -> None:
    """One flag for each setting, with its default and reason in the help."""
    for field in dataclasses.fields(kind):
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        parser.add_argument(
            flag(field.name),
            dest=field.name,
            metavar="VALUE",
            nargs="?" if isinstance(field.default, bool) else None,
            const="true" if isinstance(field.default, bool) else None,
            help=f"{field.metadata['text']}; default: {default or 'empty'} ({field.metadata['why']})".replace("%", "%%"),
        )


def settings_from(kind: type[Chosen], options: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Chosen:
    """The settings of parsed flags and the environment. Raises SettingError."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        text = getattr(options, field.name, None)
        if text is None:
            text = environment.get(variable(field.name))
        if text is not None:
            of = type(field.default)
            values[field.name] = _convert(Path if issubclass(of, Path) else of, field.name, text)
    return kind(**values)


def table(kind: type[Any]) -> str:
    """All settings as a Markdown table, for the documentation."""
    lines = ["| flag | environment | default | what | why |", "| --- | --- | --- | --- | --- |"]
    for field in dataclasses.fields(kind):
        default = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
        lines.append(
            f"| `{flag(field.name)}` | `{variable(field.name)}` | {f'`{default}`' if default else ''} "
            f"| {field.metadata['text']} | {field.metadata['why']} |"
        )
    return "\n".join(lines)


def _convert(kind: type, name: str, text: str) -> Any:
    if kind is bool:
        if text.lower() in ("true", "1", "yes"):
            return True
        if text.lower() in ("false", "0", "no"):
            return False
        raise SettingError(f"{flag(name)} takes true or false, not {text!r}")
    try:
        return kind(text)
    except ValueError:
        raise SettingError(f"{flag(name)} takes a value of type {kind.__name__}, not {text!r}") from None
