"""Requirements of label selectors, with their validation (k8s.io/apimachinery/pkg/labels)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tenantry.kube import names
from tenantry.kube.go_text import quote
from tenantry.kube.status import cut

_ERRORS_MAX, _SHOWN = 100, 2048
"""How much an error text shows: errors, and characters of a value."""
_INTEGER = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)


class Requirement(NamedTuple):
    """One condition. `operator` is one of =, ==, !=, in, notin, exists, !, gt, lt; `values` are sorted and distinct."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        key, operator, values = self
        if operator == "exists":
            return key
        if operator == "!":
            return f"!{key}"
        if operator in ("in", "notin"):
            return f"{key} {operator} ({','.join(values)})"
        symbol = {"gt": ">", "lt": "<"}.get(operator, operator)
        return f"{key}{symbol}{values[0]}"


def requirement(key: str, operator: str, values: Iterable[str] = ()) -> Requirement:
    """A validated requirement.

    Raises ValueError with upstream's text for an invalid key, number of values or value.
    """
    texts = tuple(sorted(set(values)))
    if _is_simple(key, operator, texts):
        return Requirement(key, operator, texts)
    errors = [f"key: {error}" for error in invalid(key, names.qualified_name_errors(key))]
    shown = "[" + ",".join(quote(cut(t, _SHOWN)) for t in texts[:_ERRORS_MAX]) + "]" if texts else "null"
    match operator:
        case "in" | "notin" if not texts:
            errors.append(f"values: Invalid value: {shown}: for 'in', 'notin' operators, values set can't be empty")
        case "=" | "==" | "!=" if len(texts) != 1:
            errors.append(f"values: Invalid value: {shown}: exact-match compatibility requires one single value")
        case "exists" | "!" if texts:
            errors.append(f"values: Invalid value: {shown}: values set must be empty for exists and does not exist")
        case "gt" | "lt":
            if len(texts) != 1:
                errors.append(f"values: Invalid value: {shown}: for 'Gt', 'Lt' operators, exactly one value is required")
            errors += [
                f"values[{i}]: Invalid value: {quote(cut(t, _SHOWN))}: for 'Gt', 'Lt' operators, the value must be an integer"
                for i, t in enumerate(texts[:_ERRORS_MAX])
                if integer(t) is None
            ]
    for i, text in enumerate(texts):
        if len(errors) >= _ERRORS_MAX:
            break
        errors += [f"values[{i}][{cut(key, _SHOWN)}]: {error}" for error in invalid(text, names.label_value_errors(text))]
    if errors:
        raise ValueError(errors[0] if len(errors) == 1 else "[" + ", ".join(errors) + "]")
    return Requirement(key, operator, texts)


def _is_simple(key: str, operator: str, texts: Sequence[str]) -> bool:
    """A fast check whether a requirement with a common operator is valid. A selector may have thousands of them."""
    match operator:
        case "exists" | "!":
            counted = not texts
        case "=" | "==" | "!=":
            counted = len(texts) == 1
        case "in" | "notin":
            counted = bool(texts)
        case _:
            return False
    return counted and not names.qualified_name_errors(key) and not any(map(names.label_value_errors, texts))


def invalid(value: str, errors: Sequence[str]) -> list[str]:
    return [f"Invalid value: {quote(cut(value, _SHOWN))}: {'; '.join(errors)}"] if errors else []


def integer(text: str) -> int | None:
    """A 64-bit integer as Go's strconv.ParseInt parses it, None where it is refused."""
    if len(text) > 20 or not _INTEGER.match(text):
        return None
    number = int(text)
    return number if -(1 << 63) <= number < 1 << 63 else None
