"""Runs x-kubernetes-validations on values and makes the errors (KEP-2876)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tenantry.kube.field_errors import show
from tenantry.kube.field_paths import MapKey
from tenantry.kube.go_text import quote
from tenantry.kube.jsonpath import field_names
from tenantry.kube.schema import cel
from tenantry.kube.schema.problem import Problem
from tenantry.kube.schema.ratchet import ABSENT, Counterparts, Path, child_schema, same_value
from tenantry.kube.schema.ruled_schemas import COMPILED_AT_ONCE, lengths_of_rules
from tenantry.kube.schema.structural import Rule, Schema

Found = list[Problem]
Rules = Callable[[Any, Any, Found, bool], Found]

_KINDS = {"FieldValueForbidden": "Forbidden", "FieldValueRequired": "Required", "FieldValueDuplicate": "Duplicate"}
_SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"
_MESSAGE_SPENT = "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
_MESSAGE_MAX = 5 * 1024
"""The most bytes of a messageExpression's result; a longer one is not used."""


class _BudgetSpent(Exception):
    """The budget is spent. The last failure says so, and no more rules run."""


class _Evaluation:
    """The evaluation of all rules on one object: the cost that is left, the converted CEL values, and the failures."""

    __slots__ = ("at_once", "budget", "compiled", "failures", "ratcheted", "seen")

    def __init__(self, failures: Found, *, at_once: bool) -> None:
        self.at_once = at_once
        self.budget = cel.Budget(cel.AT_ONCE_LIMIT if at_once else cel.OBJECT_LIMIT)
        self.compiled = 0
        """The characters of the expressions that were compiled for this object."""
        self.seen: cel.Seen = {}
        self.failures = failures
        self.ratcheted: Found = []

    def compile(self, expression: str) -> cel.Program:
        """The program of an expression that has none yet. Raises CelError, and LoopBudgetExceeded where that is too long for the
        event loop."""
        self.compiled += len(expression)
        if self.at_once and self.compiled > COMPILED_AT_ONCE:
            raise cel.LoopBudgetExceeded
        return cel.program(expression)

    def end(self, schema: Schema, path: Path, text: str) -> _BudgetSpent:
        if self.at_once:
            raise cel.LoopBudgetExceeded
        self.failures.append(Problem("Invalid", path, path, f'Invalid value: "{schema.type}": {text}'))
        return _BudgetSpent()


_Walk = Callable[[Any, Any, Path, _Evaluation], None]


def compile_rules(schema: Schema) -> Rules | None:
    """A function `(value, old, failures, at_once) -> ratcheted`. It adds to `failures`, and returns the failures of rules on
    unchanged values, which are ratcheted (KEP-4008). None where the schema has no rules.

    Rules run until they have cost the limit for one object (`cel.OBJECT_LIMIT`); the last failure says so. With `at_once` the
    limit is much lower, and cel.LoopBudgetExceeded is raised. So it is until long rules were read in a thread.
    """
    lengths = lengths_of_rules(schema)
    if not lengths:
        return None
    walk = _compile(schema, frozenset()) if sum(lengths) <= COMPILED_AT_ONCE else None

    def run(value: Any, old: Any, failures: Found, at_once: bool) -> Found:
        nonlocal walk
        if walk is None:
            if at_once:
                raise cel.LoopBudgetExceeded
            walk = _compile(schema, frozenset()) or _nothing
        through = _Evaluation(failures, at_once=at_once)
        with suppress(_BudgetSpent):
            walk(value, old, None, through)
        return through.ratcheted

    return run


def _nothing(value: Any, old: Any, path: Path, through: _Evaluation) -> None:
    """The rules of a schema that no value reaches."""


def _compile(schema: Schema, above: frozenset[int]) -> _Walk | None:
    if id(schema) in above:
        return None
    above = above | {id(schema)}
    own = _own_rules(schema) if schema.rules else None
    inside = _items(schema, above) if schema.items is not None else _fields(schema, above)
    if own is None or inside is None:
        return own or inside
    mine, theirs = own, inside

    def both(value: Any, old: Any, path: Path, through: _Evaluation) -> None:
        mine(value, old, path, through)
        theirs(value, old, path, through)

    return both


def _items(schema: Schema, above: frozenset[int]) -> _Walk | None:
    each = _compile(schema.items, above) if schema.items is not None else None
    if each is None:
        return None

    def items(value: Any, old: Any, path: Path, through: _Evaluation) -> None:
        if type(value) is list:
            before = Counterparts(old, schema)
            for index, item in enumerate(value):
                each(item, before.of(item), (path, index), through)

    return items


def _fields(schema: Schema, above: frozenset[int]) -> _Walk | None:
    walks = {name: walk for name, child in schema.properties.items() if (walk := _compile(child, above)) is not None}
    values = _compile(schema.additional, above) if isinstance(schema.additional, Schema) else None
    if not walks and values is None:
        return None
    correlates = schema.map_type != "atomic"

    def fields(value: Any, old: Any, path: Path, through: _Evaluation) -> None:
        if type(value) is not dict:
            return
        before = old if correlates and type(old) is dict else {}
        for key, item in value.items():
            walk = walks.get(key)
            if walk is not None:
                walk(item, before.get(key, ABSENT), (path, key), through)
            elif values is not None:
                values(item, before.get(key, ABSENT), (path, MapKey(key)), through)

    return fields


def _own_rules(schema: Schema) -> _Walk:
    convert = cel.converter(schema) or _same
    transitions = [cel.uses_old_self(rule.rule) for rule in schema.rules]
    # Messages see the old value only where a rule of the schema does.
    compares = any(transitions)
    checks = [
        _compile_rule(rule, schema, is_transition=each, compares=compares)
        for rule, each in zip(schema.rules, transitions, strict=True)
    ]

    def own(value: Any, old: Any, path: Path, through: _Evaluation) -> None:
        if value is None:
            return
        seen = convert(value, through.seen)
        before = ABSENT if old is ABSENT or old is None else convert(old, through.seen)
        unchanged: bool | None = None
        for check in checks:
            problem, is_transition = check(value, seen, before, path, through)
            if problem is None:
                continue
            if unchanged is None:
                unchanged = same_value(value, old, schema)
            (through.ratcheted if unchanged and not is_transition else through.failures).append(problem)

    return own


def _same(value: Any, seen: cel.Seen) -> Any:
    return value


_Checked = tuple[Problem | None, bool]


def _compile_rule(
    rule: Rule, schema: Schema, *, is_transition: bool, compares: bool
) -> Callable[[Any, Any, Any, Path, _Evaluation], _Checked]:
    optional = bool(rule.optional_old_self)
    text = rule.message.strip() or rule.rule.strip()
    field = _field_keys(rule.field_path, schema)
    expression, program_key, known = rule.rule, cel.program_key(rule.rule), cel.programs.get

    def check(value: Any, seen: Any, before: Any, path: Path, through: _Evaluation) -> _Checked:
        if is_transition and not optional and before is ABSENT:
            return None, True
        budget = through.budget
        if budget.left <= 0:
            raise through.end(schema, path, _SPENT)
        try:
            program = known(program_key) or through.compile(expression)
            if program.run(seen, before, optional_old=optional, budget=budget) is True:
                return None, is_transition
        except cel.BudgetExceeded as error:
            if error.whole:
                raise through.end(schema, path, _SPENT) from None
            spent = f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {text}"
            raise through.end(schema, path, spent) from None
        except cel.CelError as error:
            return _broken(str(error), schema, text, path), is_transition
        place = path
        for key in field:
            place = (place, key)
        message = _message(rule, schema, seen, before if compares else ABSENT, place, through) if rule.message_expression else ""
        return _failed(rule, value, message or rule.message.strip() or f"failed rule: {text}", path, place), is_transition

    return check


def _field_keys(path: str, schema: Schema) -> list[str]:
    keys: list[str] = []
    below: Schema | None = schema
    for name in field_names(path) if path else ():
        is_key = below is not None and name not in below.properties and isinstance(below.additional, Schema)
        keys.append(MapKey(name) if is_key else name)
        below = child_schema(below, name)
    return keys


def _message(rule: Rule, schema: Schema, seen: Any, before: Any, place: Path, through: _Evaluation) -> str:
    """The result of messageExpression. Empty where it fails or its result cannot be shown.

    It sees the old value itself, with optionalOldSelf, too, as in Kubernetes."""
    source = rule.message_expression
    try:
        program = cel.programs.get(cel.program_key(source)) or through.compile(source)
        made = program.run(seen, before, budget=through.budget)
    except cel.BudgetExceeded as error:
        called = f"no further validation rules will be run due to call cost exceeds limit for messageExpression: {quote(source)}"
        raise through.end(schema, place, _MESSAGE_SPENT if error.whole else called) from None
    except cel.CelError:
        return ""
    shown = made.strip() if isinstance(made, str) else ""
    return "" if "\n" in shown or len(shown.encode(errors="surrogatepass")) > _MESSAGE_MAX else shown


def _failed(rule: Rule, value: Any, message: str, node: Path, field: Path) -> Problem:
    kind = _KINDS.get(rule.reason, "Invalid")
    # Lists and objects are not shown, because they may be long.
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
