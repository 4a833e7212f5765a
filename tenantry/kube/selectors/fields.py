"""Field selectors: `metadata.name=a,status.phase!=Running`, with the grammar and the error texts of apimachinery/pkg/fields.

The type says which fields can be selected (`Version.selectable`); this module only parses and compares.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from sys import getsizeof
from typing import NamedTuple

from tenantry.base.cache import cached


class FieldRequirement(NamedTuple):
    """`field` equals `value`, or differs from it where `negated`."""

    field: str
    value: str
    negated: bool


class FieldSelector:
    """A conjunction of requirements, immutable."""

    __slots__ = ("_contradicts", "_refused", "_wanted", "is_everything", "requirements")

    def __init__(self, requirements: tuple[FieldRequirement, ...]) -> None:
        self.requirements = requirements
        self.is_everything = not requirements
        # Grouped by field, so that the time does not grow with the number of requirements times that of objects.
        self._wanted: dict[str, str] = {}
        self._refused: dict[str, set[str]] = {}
        self._contradicts = False
        for field, value, negated in requirements:
            if negated:
                self._refused.setdefault(field, set()).add(value)
            elif self._wanted.setdefault(field, value) != value:
                self._contradicts = True

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Whether the fields satisfy all requirements. A missing field counts as empty."""
        if self._contradicts:
            return False
        for field, value in self._wanted.items():
            if fields.get(field, "") != value:
                return False
        return not any(fields.get(field, "") in values for field, values in self._refused.items())

    def required_value(self, field: str) -> str | None:
        """The value that this field must have. None where the selector does not require one."""
        return self._wanted.get(field)

    def __str__(self) -> str:
        return ",".join(f"{r.field}{'!=' if r.negated else '='}{escape(r.value)}" for r in self.requirements)

    def __repr__(self) -> str:
        return f"FieldSelector({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSelector) and self.requirements == other.requirements

    def __hash__(self) -> int:
        return hash(self.requirements)


EVERYTHING = FieldSelector(())
_OPERATOR = re.compile("!=|==?")
_SPECIAL = re.compile(r"[\\,=]")


def escape(value: str) -> str:
    """The value as it is written in a selector."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _unescape(text: str) -> str:
    if not _SPECIAL.search(text):
        return text
    out = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            escaped = next(characters, "")
            if escaped not in ("\\", ",", "="):
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{escaped}")
            out.append(escaped)
        elif character in ",=":
            # Go prints the rune's number here.
            raise ValueError(f"invalid field selector: unescaped character in value: {ord(character)}")
        else:
            out.append(character)
    return "".join(out)


def _terms(text: str) -> list[str]:
    """The parts between commas, still escaped. A comma after a backslash does not separate."""
    if "\\" not in text:
        return text.split(",")
    out = []
    start = 0
    position = 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        elif text[position] == ",":
            out.append(text[start:position])
            start = position + 1
        position += 1
    out.append(text[start:])
    return out


def _split(term: str) -> tuple[str, bool, str] | None:
    """Field, whether negated, and the escaped value. The text is split at the first operator."""
    found = _OPERATOR.search(term)
    return (term[: found.start()], found[0] == "!=", term[found.end() :]) if found else None


def memory_bytes(selector: FieldSelector) -> int:
    """An upper estimate of the memory of a selector. Counting it exactly takes four times as long as parsing it."""
    size = 320
    for field, value, _ in selector.requirements:
        size += 480 + getsizeof(field) + getsizeof(value)
    return size


@cached("field_selectors", bytes_max=1 << 20, size=memory_bytes)
def parse(text: str) -> FieldSelector:
    """The selector of a `fieldSelector` query parameter. Raises ValueError with upstream's text."""
    requirements = []
    for term in sorted(_terms(text)):
        if not term:
            continue
        parts = _split(term)
        if parts is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{term}'")
        field, negated, escaped = parts
        value = _unescape(escaped)
        if field or value:
            requirements.append(FieldRequirement(field, value, negated))
    return FieldSelector(tuple(requirements)) if requirements else EVERYTHING
