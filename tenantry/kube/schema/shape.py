"""Checks the shape of values: types, fields, items, scalars and combinations."""

from __future__ import annotations

from typing import Any

from tenantry.kube.field_errors import counted
from tenantry.kube.schema.combinations import enumerated, general_checks
from tenantry.kube.schema.formats import known_format
from tenantry.kube.schema.number_checks import number_checks
from tenantry.kube.schema.problem import Check, Problem, Problems, invalid
from tenantry.kube.schema.ratchet import Path, path_text
from tenantry.kube.schema.string_checks import string_checks
from tenantry.kube.schema.structural import Schema

_SAFE_FLOAT = float((1 << 53) - 1)
_TYPE_NAMES: dict[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
    type(None): "null",
}
_VALUE_FORMATS: dict[type, str] = {int: "int64", float: "float64"}
"""What kube-openapi takes for the format of a value; others have none."""


def compile_shape(schema: Schema) -> Check:
    return _compile(schema, {}) or _pass


def _pass(value: Any, path: Path, out: Problems) -> None:
    pass


def _type_problem(value: Any, path: Path, expected: str) -> Problem:
    """The problem of a wrong JSON type, as go-openapi's errors.InvalidType prints it."""
    shown = f'"{_TYPE_NAMES[type(value)]}"'
    return Problem(
        "TypeInvalid", path, path, f"Invalid value: {shown}: {path_text(path)} in body must be of type {expected}: {shown}"
    )


def _compile(schema: Schema, known: dict[int, Check]) -> Check | None:
    """The check for a schema. None where every value is valid."""
    if id(schema) in known:
        return known[id(schema)]
    if schema.ref.endswith(".ObjectMeta"):
        # Decoding and metadata validation check the types inside. Only whether it is an object is checked here.
        return _typed(("object",), "object", "", schema.nullable, None)
    holder: list[Check] = []

    def forward(value: Any, path: Path, out: Problems) -> None:
        holder[0](value, path, out)

    known[id(schema)] = forward
    made = _compile_node(schema, known)
    if made is None:
        del known[id(schema)]
        return None
    holder.append(made)
    known[id(schema)] = made
    return made


def _compile_node(schema: Schema, known: dict[int, Check]) -> Check | None:
    by_type: dict[type, list[Check]] = {
        dict: _object_checks(schema, known),
        list: _array_checks(schema, known),
        str: string_checks(schema),
        int: number_checks(schema),
        float: number_checks(schema),
        bool: [],
    }
    general = general_checks(schema, lambda branch: _compile(branch, known) or _pass)
    types = ("integer", "string") if schema.int_or_string and not schema.type else (schema.type,) if schema.type else ()
    inner = {kind: _sequence(checks + general) for kind, checks in by_type.items()}
    if not types and not any(inner.values()):
        return None
    expected = ",".join(types)
    on_null = enumerated(schema.enum) if schema.enum is not None else None
    return _typed(types, expected, known_format(schema), schema.nullable or not types, inner, on_null)


def _typed(
    types: tuple[str, ...],
    expected: str,
    text_format: str,
    nullable: bool,
    inner: dict[type, Check | None] | None,
    on_null: Check | None = None,
) -> Check:
    """`on_null`: what is checked of a null beside its type."""
    allowed: set[type] = {kind for kind, name in _TYPE_NAMES.items() if name in types} if types else set(_TYPE_NAMES)
    if "number" in types:
        allowed.add(int)
    inner = inner or {}
    whole_floats = "integer" in types and "number" not in types
    numeric = bool({"integer", "number"} & set(types))
    passes = {kind: inner.get(kind) for kind in allowed}

    def check(value: Any, path: Path, out: Problems) -> None:
        kind = type(value)
        try:
            rest = passes[kind]
        except KeyError:
            mismatch(value, kind, path, out)
            return
        if rest is not None:
            rest(value, path, out)

    def mismatch(value: Any, kind: type, path: Path, out: Problems) -> None:
        if value is None:
            if not nullable:
                out.append(_type_problem(value, path, expected))
            if on_null is not None:
                on_null(value, path, out)
            return
        whole = kind is float and whole_floats and abs(value) <= _SAFE_FLOAT and value == int(value)
        if not whole:
            # Where there is a format, kube-openapi shows it instead of the type, and accepts a list in place of a text.
            if text_format and kind is not str and kind is not list:
                shown = f'"{_VALUE_FORMATS.get(kind, "")}"'
                text = f"Invalid value: {shown}: {path_text(path)} in body must be of type {text_format}: {shown}"
                out.append(Problem("TypeInvalid", path, path, text))
            elif numeric or not text_format:
                out.append(_type_problem(value, path, expected))
        rest = inner.get(kind)
        if rest is not None:
            rest(value, path, out)

    return check


def _sequence(checks: list[Check]) -> Check | None:
    if len(checks) < 2:
        return checks[0] if checks else None
    steps = tuple(checks)

    def each(value: Any, path: Path, out: Problems) -> None:
        for step in steps:
            step(value, path, out)

    return each


_FAST_TYPES = {"string": str, "boolean": bool}


def _plain_type(schema: Schema, check: Check | None) -> type | None:
    """The Python type of values that need no other check, for fields with only a type."""
    if check is None or string_checks(schema) or schema.enum or schema.all_of or schema.any_of or schema.one_of or schema.not_:
        return None
    return _FAST_TYPES.get(schema.type)


def _size_checks(least: int | None, most: int | None, noun: str) -> list[Check]:
    if least is None and most is None:
        return []

    def count(value: Any, path: Path, out: Problems) -> None:
        size = len(value)
        if least is not None and size < least:
            out.append(invalid(path, size, f"should have at least {least} {noun}"))
        if most is not None and size > most:
            # Upstream says "items" of properties too.
            out.append(Problem("TooMany", path, path, f"Too many: {size}: must have at most {counted(most, 'item')}"))

    return [count]


def _object_checks(schema: Schema, known: dict[int, Check]) -> list[Check]:
    checks = _size_checks(schema.min_properties, schema.max_properties, "properties")
    required = schema.required
    entries: dict[str, tuple[type | None, Check | None]] = {}
    for name, child in schema.properties.items():
        check = _compile(child, known)
        entries[name] = (_plain_type(child, check), check)
    values = _compile(schema.additional, known) if isinstance(schema.additional, Schema) else None
    if required or values or any(check is not None for _, check in entries.values()):
        checks.append(_fields(required, entries, values))
    return checks


def _fields(required: tuple[str, ...], entries: dict[str, tuple[type | None, Check | None]], values: Check | None) -> Check:
    find = entries.get
    needed = frozenset(required)

    def check_fields(value: Any, path: Path, out: Problems) -> None:
        if not needed <= value.keys():
            out.extend(Problem("Required", path, (path, name), "Required value") for name in required if name not in value)
        for key, item in value.items():
            entry = find(key)
            if entry is None:
                if values is not None:
                    values(item, (path, key), out)
                continue
            plain, check = entry
            if check is None or type(item) is plain:
                continue
            check(item, (path, key), out)

    return check_fields


def _array_checks(schema: Schema, known: dict[int, Check]) -> list[Check]:
    checks = _size_checks(schema.min_items, schema.max_items, "items")
    each = _compile(schema.items, known) if schema.items is not None else None
    if each is not None:
        plain = _plain_type(schema.items, each) if schema.items is not None else None

        def items(value: Any, path: Path, out: Problems) -> None:
            for index, item in enumerate(value):
                if type(item) is not plain:
                    each(item, (path, index), out)

        checks.append(items)
    return checks
