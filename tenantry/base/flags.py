"""Settings as documented dataclasses: each field has a flag, an environment variable, a default, the reason for it, and bounds.

A flag takes precedence over the environment, and the environment over the default. The variable of `--bind-address` is
`TENANTRY_BIND_ADDRESS`. Settings that several commands have in common are declared once, in a base class. A flag whose default is
a tuple may be repeated; its variable has a value in each line.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar


class SettingError(Exception):
    """A setting has an invalid value. The text names the setting and the values that it allows."""


class Declaration(NamedTuple):
    """The declaration of one setting of a command."""

    name: str
    default: Any
    text: str
    why: str
    bounds: tuple[float, float] | None
    choices: tuple[str, ...]

    @property
    def flag(self) -> str:
        return flag(self.name)

    @property
    def shown(self) -> str:
        """The default as it is written in a flag."""
        if isinstance(self.default, tuple):
            return ",".join(self.default)
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


def setting(default: Any, text: str, why: str, *, bounds: tuple[float, float] | None = None, choices: Sequence[str] = ()) -> Any:
    """A field of a settings dataclass. `text`: what it is. `why`: the reason for the default. `bounds`: the lowest and highest
    value.
    `choices`: all values."""
    return dataclasses.field(default=default, metadata={"text": text, "why": why, "bounds": bounds, "choices": tuple(choices)})


def other_default(default: Any, why: str) -> Any:
    """A field that a base class declares, with another default. `why`: the reason for it. Text and bounds stay."""
    return dataclasses.field(default=default, metadata={"why": why})


class Settings:
    """The base class of all settings. The constructor raises SettingError if a value is out of bounds."""

    def __post_init__(self) -> None:
        for declared in declarations(type(self)):
            value = getattr(self, declared.name)
            if declared.bounds is not None and not declared.bounds[0] <= value <= declared.bounds[1]:
                low, high = declared.bounds
                raise SettingError(f"{declared.flag} must be from {low} to {high}, not {value}")
            if declared.choices and value not in declared.choices:
                choices = f"{', '.join(declared.choices[:-1])} or {declared.choices[-1]}"
                raise SettingError(f"{declared.flag} must be {choices}, not {value!r}")


def declarations(kind: type[Any]) -> Iterator[Declaration]:
    """The settings of a class: first its own, then those of each base class, in the order of the bases."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for base in kind.__mro__:
        for name, field in vars(base).get("__dataclass_fields__", {}).items():
            if name not in base.__annotations__ or "text" not in field.metadata or name not in fields:
                continue
            here = fields.pop(name)
            facts = {**field.metadata, **here.metadata}
            yield Declaration(name, here.default, facts["text"], facts["why"], facts["bounds"], facts["choices"])


def flag(name: str) -> str:
    """The flag of a setting: `bind_address` → `--bind-address`."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """The environment variable of a setting: `bind_address` → `TENANTRY_BIND_ADDRESS`."""
    return "TENANTRY_" + name.upper()


def listed(text: str) -> tuple[str, ...]:
    """The parts of a comma-separated value."""
    return tuple(filter(None, map(str.strip, text.split(","))))


def each_listed(values: Iterable[str]) -> tuple[str, ...]:
    """The parts of the values of a flag that may be repeated, each of which may be comma-separated (pflag's StringSlice)."""
    return tuple(part for value in values for part in listed(value))


def check_together(settings: Any, *names: str) -> None:
    """Raises SettingError if some of these settings are given and others are not."""
    if len({bool(getattr(settings, name)) for name in names}) > 1:
        raise SettingError(f"{' and '.join(map(flag, names))} must be given together")


def seconds(text: str) -> float:
    """The argparse type of a time in seconds. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return value


def add_flags(parser: argparse.ArgumentParser, kind: type[Any]) -> None:
    """Adds a flag for each setting. Its help shows the default and the reason."""
    for declared in declarations(kind):
        switch = isinstance(declared.default, bool)
        help_text = f"{declared.text}; default: {declared.shown or 'empty'} ({declared.why})".replace("%", "%%")
        if isinstance(declared.default, tuple):
            parser.add_argument(declared.flag, dest=declared.name, metavar="VALUE", action="append", help=help_text)
            continue
        parser.add_argument(
            declared.flag,
            dest=declared.name,
            metavar="VALUE",
            nargs="?" if switch else None,
            const="true" if switch else None,
            help=help_text,
        )


Chosen = TypeVar("Chosen")


def settings_from(kind: type[Chosen], options: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Chosen:
    """The settings from parsed flags and the environment. Raises SettingError."""
    values: dict[str, Any] = {}
    for declared in declarations(kind):
        text = getattr(options, declared.name, None)
        if text is None:
            text = environment.get(variable(declared.name))
        if text is not None:
            of = type(declared.default)
            if of is tuple:
                values[declared.name] = tuple(text if isinstance(text, list) else filter(None, text.splitlines()))
                continue
            values[declared.name] = _convert(Path if issubclass(of, Path) else of, declared.name, text)
    return kind(**values)


def table(kind: type[Any]) -> str:
    """All settings as a Markdown table, for the documentation."""
    lines = ["| flag | environment | default | what | why |", "| --- | --- | --- | --- | --- |"]
    for declared in declarations(kind):
        default = f"`{declared.shown}`" if declared.shown else ""
        lines.append(f"| `{declared.flag}` | `{variable(declared.name)}` | {default} | {declared.text} | {declared.why} |")
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
