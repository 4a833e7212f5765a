"""x-kubernetes-validations on values: which rules run where, and what their failures say (KEP-2876)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenantry.kube.field_errors import show
from tenantry.kube.jsonpath import field_names
from tenantry.kube.schema import cel
from tenantry.kube.schema.problem import Problem
from tenantry.kube.schema.ratchet import ABSENT, Counterparts, Path
from tenantry.kube.schema.structural import Rule, Schema

Found = list[Problem]
_Walk = Callable[[Any, Any, Path, Found, Found], None]
Rules = Callable[[Any, Any, Found], Found]

_KINDS = {"FieldValueForbidden": "Forbidden", "FieldValueRequired": "Required", "FieldValueDuplicate": "Duplicate"}


def compile_rules(schema: Schema) -> Rules | None:
    """A function `(value, old, failures) -> forgiven` that adds to `failures`; it returns the failures of rules over
    values that did not change. None where the schema has no rules."""
    walk = _compile(schema, frozenset())
    if walk is None:
        return None

    def run(value: Any, old: Any, failures: Found) -> Found:
        forgiven: Found = []
        walk(value, old, None, failures, forgiven)
        return forgiven

    return run


def _compile(schema: Schema, above: frozenset[int]) -> _Walk | None:
    if id(schema) in above:
        return None
    above = above | {id(schema)}
    own = _own_rules(schema) if schema.rules else None
    inside = _items(schema, above) if schema.items is not None else _fields(schema, above)
    if own is None or inside is None:
        return own or inside
    mine, theirs = own, inside

    def both(value: Any, old: Any, path: Path, failures: Found, forgiven: Found) -> None:
        mine(value, old, path, failures, forgiven)
        theirs(value, old, path, failures, forgiven)

    return both


def _items(schema: Schema, above: frozenset[int]) -> _Walk | None:
    each = _compile(schema.items, above) if schema.items is not None else None
    if each is None:
        return None

    def items(value: Any, old: Any, path: Path, failures: Found, forgiven: Found) -> None:
        if type(value) is list:
            before = Counterparts(old, schema)
            for index, item in enumerate(value):
                each(item, before.of(item), (path, index), failures, forgiven)

    return items


def _fields(schema: Schema, above: frozenset[int]) -> _Walk | None:
    walks = {name: walk for name, child in schema.properties.items() if (walk := _compile(child, above)) is not None}
    values = _compile(schema.additional, above) if isinstance(schema.additional, Schema) else None
    if not walks and values is None:
        return None
    correlates = schema.map_type != "atomic"

    def fields(value: Any, old: Any, path: Path, failures: Found, forgiven: Found) -> None:
        if type(value) is not dict:
            return
        before = old if correlates and type(old) is dict else {}
        for key, item in value.items():
            walk = walks.get(key, values)
            if walk is not None:
                walk(item, before.get(key, ABSENT), (path, key), failures, forgiven)

    return fields


def _own_rules(schema: Schema) -> _Walk:
    convert = cel.converter(schema) or _same
    checks = [_compile_rule(rule, schema, convert) for rule in schema.rules]

    def own(value: Any, old: Any, path: Path, failures: Found, forgiven: Found) -> None:
        if value is None:
            return
        seen = convert(value)
        before = ABSENT if old is ABSENT or old is None else convert(old)
        for check in checks:
            problem, is_transition = check(value, seen, before, path)
            if problem is not None:
                unchanged = old is not ABSENT and old == value and not is_transition
                (forgiven if unchanged else failures).append(problem)

    return own


def _same(value: Any) -> Any:
    return value


def _compile_rule(
    rule: Rule, schema: Schema, convert: cel.Converter
) -> Callable[[Any, Any, Any, Path], tuple[Problem | None, bool]]:
    optional = bool(rule.optional_old_self)
    is_transition = cel.uses_old_self(rule.rule)
    text = rule.rule.strip()
    field = _field_keys(rule.field_path)

    def check(value: Any, seen: Any, before: Any, path: Path) -> tuple[Problem | None, bool]:
        has_old = before is not ABSENT
        if is_transition and not optional and not has_old:
            return None, True
        try:
            if cel.program(rule.rule, optional_old=optional).run(seen, before, has_old=has_old) is True:
                return None, is_transition
        except cel.CelError as error:
            return _broken(str(error), schema, text, path), is_transition
        place = path
        for key in field:
            place = (place, key)
        return _failed(rule, value, _message(rule, text, seen, before), path, place), is_transition

    return check


def _field_keys(path: str) -> tuple[str, ...]:
    return field_names(path) if path else ()


def _message(rule: Rule, text: str, seen: Any, before: Any) -> str:
    if rule.message_expression:
        has_old = before is not ABSENT
        try:
            made = cel.program(rule.message_expression, optional_old=bool(rule.optional_old_self)).run(
                seen, before, has_old=has_old
            )
        except cel.CelError:
            made = None
        if isinstance(made, str) and made.strip() and "\n" not in made:
            return made.strip()
    return rule.message.strip() or f"failed rule: {text}"


def _failed(rule: Rule, value: Any, message: str, node: Path, field: Path) -> Problem:
    kind = _KINDS.get(rule.reason, "Invalid")
    # Lists and objects are not shown: they may be long, and the message says what is wrong.
    shown = "" if isinstance(value, (dict, list)) else f"{show(value)}"
    if kind == "Forbidden":
        return Problem(kind, node, field, f"Forbidden: {message}")
    if kind == "Required":
        return Problem(kind, node, field, f"Required value: {message}")
    if kind == "Duplicate":
        return Problem(kind, node, field, f"Duplicate value: {shown}" if shown else "Duplicate value")
    return Problem(kind, node, field, f"Invalid value: {shown}: {message}" if shown else f"Invalid value: {message}")


def _broken(error: str, schema: Schema, text: str, path: Path) -> Problem:
    if error.startswith("no such overload"):
        detail = f"'{error}': call arguments did not match a supported operator, function or macro signature for rule: {text}"
    else:
        detail = f"{error} evaluating rule: {text}"
    return Problem("Invalid", path, path, f'Invalid value: "{schema.type}": {detail}')
