"""Descriptions of built-in components and their fields, for people who ask `kubectl explain`. They are in `descriptions.txt`,
which is read when the first document is made."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Description(NamedTuple):
    """What a component is, and its fields by name."""

    text: str
    fields: dict[str, str]


_BUILT_IN = "io.k8s.api"
_NONE = Description("", {})


def description(ref: str) -> Description:
    """The description of a built-in component; empty where there is none. It is found by the last three parts of its name."""
    return _all().get(".".join(ref.rsplit(".", 3)[-3:]), _NONE) if ref.startswith(_BUILT_IN) else _NONE


@cache
def _all() -> dict[str, Description]:
    found: dict[str, Description] = {}
    fields: dict[str, str] = {}
    for line in files(__package__).joinpath("descriptions.txt").read_text(encoding="utf-8").splitlines():
        name, _, text = line.partition(": ")
        if line.startswith("  "):
            fields[name.strip()] = text
        elif text and not line.startswith("#"):
            fields = {}
            found[name] = Description(text, fields)
    return found
