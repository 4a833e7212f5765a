"""Validation of values against a schema, with the messages of kube-apiserver.

A schema is compiled once to closures. Paths are linked tuples that become text only in a message, so a valid object
pays nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from tenantry.kube.field_errors import show
from tenantry.kube.messages import OBJECT_META
from tenantry.kube.schema import formats
from tenantry.kube.schema.compiled import compiled
from tenantry.kube.schema.problem import NO_FIELD, Problem
from tenantry.kube.schema.ratchet import ABSENT, Path, is_unchanged, path_text
from tenantry.kube.schema.regex import matcher
from tenantry.kube.schema.rules import Rules, compile_rules
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import FieldError

__all__ = ["ABSENT", "validate"]

_BLOCKING = frozenset(("NotSupported", "Required", "TooLong", "TooMany", "TypeInvalid"))
_UNCHECKED = (
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1
_INT_RANGES = {"int32": (-(1 << 31), (1 << 31) - 1), "uint32": (0, (1 << 32) - 1), "uint64": (0, (1 << 64) - 1)}
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


# Of embedded objects nothing else has checked the types in metadata.
_NAMED_TYPE = Schema(type="string", min_length=1)
_EMBEDDED_METADATA = Schema(type="object", properties=OBJECT_META.schema.properties)

Check = Callable[[Any, Path, list[Problem]], None]


class Checks(NamedTuple):
    """What a schema compiles to; the last two are None where the schema has no such rules."""

    shape: Check
    lists: Check | None
    rules: Rules | None


def validate(
    value: Any, schema: Schema, *, path: str = "", old: Any = ABSENT, warnings: list[str] | None = None
) -> list[FieldError]:
    """The failures of `value`: shape, formats, unique lists, and the rules of x-kubernetes-validations.

    `path` goes before the field names, not into the messages. With `old`, the value before an update, what did not
    change may stay invalid (KEP-4008), and transition rules run; rules forgiven so are told in `warnings`.
    """
    checks = compiled(schema, "validate", _compile_all)
    problems: list[Problem] = []
    checks.shape(value, None, problems)
    updating = old is not ABSENT
    if problems and updating:
        problems = [p for p in problems if not is_unchanged(p.node, value, old, schema)]
    if checks.lists is not None:
        repeated: list[Problem] = []
        checks.lists(value, None, repeated)
        if repeated and updating:
            before: list[Problem] = []
            checks.lists(old, None, before)
            if before:
                repeated = []
        problems += repeated
    if checks.rules is not None:
        if any(p.kind in _BLOCKING for p in problems):
            problems.append(Problem("Invalid", None, NO_FIELD, _UNCHECKED))
        else:
            forgiven = checks.rules(value, old, problems)
            if warnings is not None:
                warnings += [f"{_field(p, path)}: {p.text}" for p in forgiven]
    return [FieldError(p.kind, _field(p, path), p.text) for p in problems] if problems else []


def _field(problem: Problem, prefix: str) -> str:
    field = problem.field
    inner = "" if field == NO_FIELD or isinstance(field, str) else path_text(field)
    if not inner:
        return prefix or NO_FIELD
    if not prefix or inner.startswith("["):
        return prefix + inner
    return f"{prefix}.{inner}"


def _compile_all(schema: Schema) -> Checks:
    return Checks(_compile(schema, {}) or _pass, _compile_lists(schema, set()), compile_rules(schema))


def _pass(value: Any, path: Path, out: list[Problem]) -> None:
    pass


def _type_problem(value: Any, path: Path, expected: str) -> Problem:
    """A wrong JSON type, as go-openapi's errors.InvalidType prints it."""
    shown = f'"{_TYPE_NAMES[type(value)]}"'
    return Problem(
        "TypeInvalid", path, path, f"Invalid value: {shown}: {path_text(path)} in body must be of type {expected}: {shown}"
    )


def _invalid(path: Path, value: Any, rest: str) -> Problem:
    return Problem("Invalid", path, path, f"Invalid value: {show_value(value)}: {path_text(path)} in body {rest}")


def _composite(path: Path, rest: str) -> Problem:
    return Problem("Invalid", path, NO_FIELD, f'Invalid value: "": {rest}')


def show_value(value: Any) -> str:
    """Numbers as Go prints float64, everything else as in field.Error."""
    if type(value) is float and value == int(value) and abs(value) < 1e21:
        return str(int(value))
    return show(value)


# Containers and scalars -------------------------------------------------------------------------------------------------


def _compile(schema: Schema, known: dict[int, Check]) -> Check | None:
    """None where every value is valid."""
    if id(schema) in known:
        return known[id(schema)]
    if schema.ref.endswith(".ObjectMeta"):
        # Decoding and metadata validation have checked the types; only being an object is left to say.
        return _typed(("object",), "object", "", schema.nullable, None)
    holder: list[Check] = []

    def forward(value: Any, path: Path, out: list[Problem]) -> None:
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
        str: _string_checks(schema),
        int: _number_checks(schema),
        float: _number_checks(schema),
        bool: [],
    }
    general = _general_checks(schema, known)
    types = ("integer", "string") if schema.int_or_string and not schema.type else (schema.type,) if schema.type else ()
    inner = {kind: _sequence(checks + general) for kind, checks in by_type.items()}
    if not types and not any(inner.values()):
        return None
    expected = ",".join(types)
    return _typed(types, expected, schema.format, schema.nullable or not types, inner)


def _typed(
    types: tuple[str, ...], expected: str, text_format: str, nullable: bool, inner: dict[type, Check | None] | None
) -> Check:
    allowed: set[type] = {kind for kind, name in _TYPE_NAMES.items() if name in types} if types else set(_TYPE_NAMES)
    if "number" in types:
        allowed.add(int)
    inner = inner or {}
    whole_floats = "integer" in types and "number" not in types
    numeric = bool({"integer", "number"} & set(types))
    passes = {kind: inner.get(kind) for kind in allowed}

    def check(value: Any, path: Path, out: list[Problem]) -> None:
        kind = type(value)
        try:
            rest = passes[kind]
        except KeyError:
            mismatch(value, kind, path, out)
            return
        if rest is not None:
            rest(value, path, out)

    def mismatch(value: Any, kind: type, path: Path, out: list[Problem]) -> None:
        if value is None:
            if not nullable:
                out.append(_type_problem(value, path, expected))
            return
        whole = kind is float and whole_floats and abs(value) <= _SAFE_FLOAT and value == int(value)
        if not whole:
            # go-openapi names the format instead of the type where a value of another kind meets a formatted number.
            if text_format and kind in _VALUE_FORMATS and (numeric or kind is not str):
                shown = f'"{_VALUE_FORMATS[kind]}"'
                text = f"Invalid value: {shown}: {path_text(path)} in body must be of type {text_format}: {shown}"
                out.append(Problem("TypeInvalid", path, path, text))
            else:
                out.append(_type_problem(value, path, expected))
        rest = inner.get(kind)
        if rest is not None:
            rest(value, path, out)

    return check


def _sequence(checks: list[Check]) -> Check | None:
    if len(checks) < 2:
        return checks[0] if checks else None
    steps = tuple(checks)

    def each(value: Any, path: Path, out: list[Problem]) -> None:
        for step in steps:
            step(value, path, out)

    return each


_FAST_TYPES = {"string": str, "boolean": bool}


def _plain_type(schema: Schema, check: Check | None) -> type | None:
    """The Python type whose values need no further look, for fields that have a type and nothing else."""
    if check is None or _string_checks(schema) or schema.enum or schema.all_of or schema.any_of or schema.one_of or schema.not_:
        return None
    return _FAST_TYPES.get(schema.type)


def _object_checks(schema: Schema, known: dict[int, Check]) -> list[Check]:
    checks: list[Check] = []
    least, most = schema.min_properties, schema.max_properties
    if least is not None or most is not None:

        def count(value: Any, path: Path, out: list[Problem]) -> None:
            size = len(value)
            if least is not None and size < least:
                out.append(_invalid(path, size, f"should have at least {least} properties"))
            if most is not None and size > most:
                out.append(Problem("TooMany", path, path, f"Too many: {size}: must have at most {most} items"))

        checks.append(count)
    required = schema.required
    if schema.embedded_resource:
        required += tuple(name for name in ("apiVersion", "kind") if name not in required)
    entries: dict[str, tuple[type | None, Check | None]] = {}
    for name, child in schema.properties.items():
        check = _compile(child, known)
        entries[name] = (_plain_type(child, check), check)
    if schema.embedded_resource:
        for name in ("apiVersion", "kind"):
            entries[name] = (None, _compile(_NAMED_TYPE, known))
        entries["metadata"] = (None, _compile(_EMBEDDED_METADATA, known))
    values = _compile(schema.additional, known) if isinstance(schema.additional, Schema) else None
    if required or values or any(check is not None for _, check in entries.values()):
        checks.append(_fields(required, entries, values))
    return checks


def _fields(required: tuple[str, ...], entries: dict[str, tuple[type | None, Check | None]], values: Check | None) -> Check:
    find = entries.get
    needed = frozenset(required)

    def check_fields(value: Any, path: Path, out: list[Problem]) -> None:
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
    checks: list[Check] = []
    least, most = schema.min_items, schema.max_items
    if least is not None or most is not None:

        def count(value: Any, path: Path, out: list[Problem]) -> None:
            size = len(value)
            if least is not None and size < least:
                out.append(_invalid(path, size, f"should have at least {least} items"))
            if most is not None and size > most:
                out.append(Problem("TooMany", path, path, f"Too many: {size}: must have at most {most} items"))

        checks.append(count)
    each = _compile(schema.items, known) if schema.items is not None else None
    if each is not None:
        plain = _plain_type(schema.items, each) if schema.items is not None else None

        def items(value: Any, path: Path, out: list[Problem]) -> None:
            for index, item in enumerate(value):
                if type(item) is not plain:
                    each(item, (path, index), out)

        checks.append(items)
    return checks


def _string_checks(schema: Schema) -> list[Check]:
    checks: list[Check] = []
    least, most = schema.min_length, schema.max_length
    if most is not None:

        def not_longer(value: Any, path: Path, out: list[Problem]) -> None:
            if len(value) > most:
                out.append(Problem("TooLong", path, path, f"Too long: may not be more than {most} bytes"))

        checks.append(not_longer)
    if least is not None:

        def not_shorter(value: Any, path: Path, out: list[Problem]) -> None:
            if len(value) < least:
                out.append(_invalid(path, value, f"should be at least {least} chars long"))

        checks.append(not_shorter)
    if schema.pattern:
        matches, pattern = matcher(schema.pattern), schema.pattern

        def like(value: Any, path: Path, out: list[Problem]) -> None:
            if not matches(value):
                out.append(_invalid(path, value, f"should match '{pattern}'"))

        checks.append(like)
    has_format = formats.find(schema.format) if schema.format and schema.type in ("", "string") else None
    if has_format is not None:
        name = schema.format

        def formatted(value: Any, path: Path, out: list[Problem]) -> None:
            if not has_format(value):
                text = f"{path_text(path)} in body must be of type {name}: {show(value)}"
                out.append(Problem("TypeInvalid", path, path, f"Invalid value: {show(value)}: {text}"))

        checks.append(formatted)
    return checks


def _number_checks(schema: Schema) -> list[Check]:
    checks: list[Check] = []
    if schema.type == "integer":
        low, high = _INT_RANGES.get(schema.format, (_INT64_MIN, _INT64_MAX))
        text_format = schema.format
        kind = f"with format {text_format}" if text_format else "(default format)"

        def in_range(value: Any, path: Path, out: list[Problem]) -> None:
            if low <= value <= high and value == int(value):
                return
            out.append(_composite(path, f"Checked value must be of type integer {kind} in {path_text(path)}"))
            if type(value) is int and not _INT64_MIN <= value <= _INT64_MAX:
                # Go has decoded it as a float64.
                wrong, right = ("float64", text_format) if text_format else ("number", "integer")
                text = f'Invalid value: "{wrong}": {path_text(path)} in body must be of type {right}: "{wrong}"'
                out.append(Problem("TypeInvalid", path, path, text))

        checks.append(in_range)
    least, most, step = schema.minimum, schema.maximum, schema.multiple_of
    above, below = schema.exclusive_minimum, schema.exclusive_maximum
    if least is not None:

        def not_less(value: Any, path: Path, out: list[Problem]) -> None:
            if value < least or (above and value == least):
                bound = "greater than" if above else "greater than or equal to"
                out.append(_invalid(path, value, f"should be {bound} {show_value(least)}"))

        checks.append(not_less)
    if most is not None:

        def not_more(value: Any, path: Path, out: list[Problem]) -> None:
            if value > most or (below and value == most):
                bound = "less than" if below else "less than or equal to"
                out.append(_invalid(path, value, f"should be {bound} {show_value(most)}"))

        checks.append(not_more)
    if step:

        def multiple(value: Any, path: Path, out: list[Problem]) -> None:
            quotient = value / step
            if abs(quotient - round(quotient)) > 1e-9 * max(1.0, abs(quotient)):
                out.append(_invalid(path, value, f"should be a multiple of {show_value(step)}"))

        checks.append(multiple)
    return checks


# Rules for values of any type ------------------------------------------------------------------------------------------


def _general_checks(schema: Schema, known: dict[int, Check]) -> list[Check]:
    checks: list[Check] = []
    if schema.enum is not None:
        checks.append(_enumerated(schema.enum))
    if schema.all_of:
        checks.append(_all_of([_compile(s, known) or _pass for s in schema.all_of]))
    if schema.any_of:
        checks.append(_any_of([_compile(s, known) or _pass for s in schema.any_of]))
    if schema.one_of:
        checks.append(_one_of([_compile(s, known) or _pass for s in schema.one_of]))
    if schema.not_ is not None:
        refused = _compile(schema.not_, known) or _pass

        def negated(value: Any, path: Path, out: list[Problem]) -> None:
            found: list[Problem] = []
            refused(value, path, found)
            if not found:
                out.append(_composite(path, f'"{path_text(path)}" must not validate the schema (not)'))

        checks.append(negated)
    return checks


def _enumerated(values: tuple[Any, ...]) -> Check:
    texts = frozenset(v for v in values if isinstance(v, str))
    others = [v for v in values if not isinstance(v, str)]
    supported = ", ".join(show(v if isinstance(v, str) else orjson.dumps(v).decode()) for v in values)

    def among(value: Any, path: Path, out: list[Problem]) -> None:
        if type(value) is str:
            if value in texts:
                return
        elif any(_same(value, other) for other in others):
            return
        out.append(Problem("NotSupported", path, path, f"Unsupported value: {show(value)}: supported values: {supported}"))

    return among


def _same(left: Any, right: Any) -> bool:
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _all_of(branches: list[Check]) -> Check:
    def every(value: Any, path: Path, out: list[Problem]) -> None:
        found: list[Problem] = []
        valid = 0
        for branch in branches:
            before = len(found)
            branch(value, path, found)
            valid += len(found) == before
        if found:
            ending = ". None validated" if valid == 0 else ""
            out.append(_composite(path, f'"{path_text(path)}" must validate all the schemas (allOf){ending}'))
            out.extend(found)

    return every


def _any_of(branches: list[Check]) -> Check:
    def some(value: Any, path: Path, out: list[Problem]) -> None:
        best: list[Problem] | None = None
        for branch in branches:
            found: list[Problem] = []
            branch(value, path, found)
            if not found:
                return
            if best is None or len(found) < len(best):
                best = found
        out.append(_composite(path, f'"{path_text(path)}" must validate at least one schema (anyOf)'))
        out.extend(best or ())

    return some


def _one_of(branches: list[Check]) -> Check:
    def one(value: Any, path: Path, out: list[Problem]) -> None:
        best: list[Problem] | None = None
        valid = 0
        for branch in branches:
            found: list[Problem] = []
            branch(value, path, found)
            if not found:
                valid += 1
            elif best is None or len(found) < len(best):
                best = found
        if valid == 1:
            return
        ending = f"Found {valid} valid alternatives" if valid else "Found none valid"
        out.append(_composite(path, f'"{path_text(path)}" must validate one and only one schema (oneOf). {ending}'))
        if not valid:
            out.extend(best or ())

    return one


# Lists that are sets or maps -------------------------------------------------------------------------------------------


def _compile_lists(schema: Schema, seen: set[int]) -> Check | None:
    """The check of x-kubernetes-list-type below a schema, None where nothing there is a set or a map."""
    if id(schema) in seen:
        return None
    seen = seen | {id(schema)}
    if schema.items is not None:
        return _unique_list(schema, _compile_lists(schema.items, seen))
    fields = {name: check for name, child in schema.properties.items() if (check := _compile_lists(child, seen)) is not None}
    values = _compile_lists(schema.additional, seen) if isinstance(schema.additional, Schema) else None
    if not fields and values is None:
        return None

    def inside(value: Any, path: Path, out: list[Problem]) -> None:
        if type(value) is not dict:
            return
        for key, item in value.items():
            check = fields.get(key, values)
            if check is not None:
                check(item, (path, key), out)

    return inside


def _unique_list(schema: Schema, each: Check | None) -> Check | None:
    keys = sorted(schema.list_map_keys) if schema.list_type == "map" else None
    if keys is None and schema.list_type != "set":
        if each is None:
            return None
        inner = each

        def items_only(value: Any, path: Path, out: list[Problem]) -> None:
            if type(value) is list:
                for index, item in enumerate(value):
                    inner(item, (path, index), out)

        return items_only

    only_key = keys[0] if keys is not None and len(keys) == 1 else None

    def unique(value: Any, path: Path, out: list[Problem]) -> None:
        if type(value) is not list:
            return
        if each is None and only_key is not None and _all_named_apart(value, only_key):
            return
        times: dict[Any, int] = {}
        for index, item in enumerate(value):
            shown = {key: item[key] for key in keys if key in item} if keys is not None and type(item) is dict else item
            identity = shown if type(shown) is str else orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)
            count = times[identity] = times.get(identity, 0) + 1
            if count == 2:
                out.append(Problem("Duplicate", path, (path, index), f"Duplicate value: {show(shown)}"))
            if each is not None:
                each(item, (path, index), out)

    return unique


def _all_named_apart(items: list[Any], key: str) -> bool:
    """The usual case, quickly: every item has text under the key, and no two the same."""
    names = set()
    for item in items:
        name = item.get(key) if type(item) is dict else None
        if type(name) is not str:
            return False
        names.add(name)
    return len(names) == len(items)
