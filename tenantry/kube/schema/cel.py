"""CEL rules at run time: a rule is compiled once for all tenants who have it, and evaluated on the JSON values of objects.

When a definition is created, its rules are checked against types derived from the schema (`cel_check.py`). At run time they are
evaluated untyped (`Program`) by an interpreter that charges the cost of a step before it executes it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from tenantry.base.cache import KEY_BYTES_MAX, Cache
from tenantry.base.pauses import pause
from tenantry.kube.schema import cel_time, duration_words
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_interpreter import Compiled
from tenantry.kube.schema.cel_keyed_lists import MapList, SetList
from tenantry.kube.schema.cel_names import escape
from tenantry.kube.schema.cel_parser import parse
from tenantry.kube.schema.cel_tokens import words
from tenantry.kube.schema.cel_values import NONE, Cost, CostExceeded, Duration, Optional
from tenantry.kube.schema.ratchet import ABSENT
from tenantry.kube.schema.structural import Schema

__all__ = [
    "ABSENT",
    "Budget",
    "BudgetExceeded",
    "CelError",
    "Program",
    "Seen",
    "converter",
    "program",
    "program_key",
    "programs",
]

CALL_LIMIT = 1_000_000
"""The cost limit of one evaluation of an expression (PerCallLimit of k8s.io/apiserver/pkg/apis/cel)."""
OBJECT_LIMIT = 10_000_000
"""The cost limit of all expressions of one object together (RuntimeCELCostBudget)."""
AT_ONCE_LIMIT = 20_000
"""The same for an object that is validated on the event loop: a few milliseconds. An object above it is validated in a thread."""


_NOT_FOR_URLS = re.compile("[+/]")
_KEY_CHARACTERS = KEY_BYTES_MAX // 8
"""Python keeps a character in four bytes at most."""


class BudgetExceeded(Exception):
    """An evaluation was stopped because of its cost. `whole`: the budget for all expressions of the object is spent, and not only
    that of one call."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")
        self.whole = whole


class LoopBudgetExceeded(Exception):
    """The expressions of an object cost more than is allowed on the event loop, or have to be compiled first and are long."""


class Budget:
    """How much the expressions of one object may still cost together."""

    __slots__ = ("left", "spare")

    def __init__(self, limit: int = OBJECT_LIMIT) -> None:
        self.left = limit
        self.spare = limit
        """The same for work that cel-go does not charge."""


def uses_old_self(expression: str) -> bool:
    """Whether `oldSelf` occurs in an expression outside of strings."""
    # Most rules do not have it, and the words of long ones take long.
    return "oldSelf" in expression and any(word == "oldSelf" for word in words(expression))


class Program:
    """A compiled expression over `self` and `oldSelf`."""

    def __init__(self, expression: str) -> None:
        """Raises CelError."""
        self._compiled = Compiled(parse(expression).root, ("self", "oldSelf"))

    def run(self, value: Any, old: Any = ABSENT, *, optional_old: bool = False, budget: Budget | None = None) -> Any:
        """The result for values from `converter`. `old` is ABSENT where there is no old value. `optional_old`: oldSelf is an
        optional, as in a rule with optionalOldSelf. The cost is taken from the budget. Raises CelError and BudgetExceeded."""
        if optional_old:
            old = NONE if old is ABSENT else Optional((old,))
        left = OBJECT_LIMIT if budget is None else budget.left
        spare = min(OBJECT_LIMIT if budget is None else budget.spare, CALL_LIMIT)
        cost = Cost(min(left, CALL_LIMIT), spare)
        pause()
        try:
            return self._compiled.run((value, old), cost)
        except CostExceeded:
            raise BudgetExceeded(whole=left < CALL_LIMIT or spare < CALL_LIMIT) from None
        finally:
            if budget is not None:
                budget.left -= min(cost.spent, budget.left)
                budget.spare -= max(0, spare - max(0, cost.spare))


ProgramKey = str | bytes
programs: Cache[ProgramKey, Program] = Cache("cel_programs", bytes_max=32 * 1024 * 1024)
"""The programs of expressions, by `program_key`. They are shared by all tenants."""


def program_key(expression: str) -> ProgramKey:
    """The key of an expression in `programs`: the expression, or a digest of it where it is too long for a key."""
    if len(expression) <= _KEY_CHARACTERS:
        return expression
    return blake2b(expression.encode(errors="surrogatepass"), digest_size=24).digest()


def program(expression: str) -> Program:
    """The Program for an expression. Raises CelError."""
    return programs.compute(program_key(expression), lambda: Program(expression))


Seen = dict[int, Any]
"""The converted lists and objects of a value, by their identity (id()), because rules at several levels see the same parts."""
Converter = Callable[[Any, Seen], Any]


def converter(schema: Schema) -> Converter | None:
    """A function that makes the CEL value from a JSON value: escaped names, timestamps, bytes, doubles. None where no conversion
    is needed."""
    if schema.int_or_string:
        return None
    if schema.type == "string":
        return _STRING_FORMATS.get(schema.format)
    if schema.type == "number":
        return _double
    if schema.items is not None:
        each = converter(schema.items)
        return None if each is None and schema.list_type not in ("set", "map") else _list_converter(schema, each)
    return _object_converter(schema)


def _list_converter(schema: Schema, each: Converter | None) -> Converter:
    keys = tuple(escape(key) or key for key in schema.list_map_keys)
    list_type = schema.list_type

    def convert(value: Any, seen: Seen) -> Any:
        if type(value) is not list:
            return value
        made = seen.get(id(value))
        if made is None:
            made = value if each is None else [None if item is None else each(item, seen) for item in value]
            if list_type == "set":
                made = SetList(made)
            elif list_type == "map":
                made = MapList(made, keys)
            seen[id(value)] = made
        return made

    return convert


def _object_converter(schema: Schema) -> Converter | None:
    renamed: dict[str, str] = {}
    for name in schema.properties:
        escaped = escape(name)
        if escaped is not None and escaped != name:
            renamed[name] = escaped
    fields = {name: made for name, child in schema.properties.items() if (made := converter(child)) is not None}
    values = converter(schema.additional) if isinstance(schema.additional, Schema) else None
    # A field that is null is absent. A map may have nulls.
    nullable = frozenset(name for name, child in schema.properties.items() if child.nullable)
    if not renamed and not fields and values is None:
        return _without_nulls(nullable) if nullable else None

    def convert(value: Any, seen: Seen) -> Any:
        if type(value) is not dict:
            return value
        made = seen.get(id(value))
        if made is not None:
            return made
        out: dict[str, Any] = {}
        for key, item in value.items():
            if item is None and key in nullable:
                continue
            change = fields.get(key, values)
            out[renamed.get(key) or key] = item if change is None or item is None else change(item, seen)
        seen[id(value)] = out
        return out

    return convert


def _without_nulls(nullable: frozenset[str]) -> Converter:
    def convert(value: Any, seen: Seen) -> Any:
        if type(value) is not dict or all(value.get(name, "") is not None for name in nullable):
            return value
        made = seen.get(id(value))
        if made is None:
            made = {key: item for key, item in value.items() if item is not None or key not in nullable}
            seen[id(value)] = made
        return made

    return convert


def _double(value: Any, seen: Seen) -> Any:
    return float(value) if type(value) is int else value


# Texts that have their format. Not all of them can be read: the error is the value then, and is raised where it is used.


def _timestamp(value: Any, seen: Seen) -> Any:
    if not isinstance(value, str):
        return value
    made = cel_time.rfc3339(value)
    if made is None:
        return CelError(f"Invalid date-time formatted string {value}: {cel_time.local_problem(value)}")
    return made


def _date(value: Any, seen: Seen) -> Any:
    return (cel_time.rfc3339(f"{value}T00:00:00Z") or value) if isinstance(value, str) else value


def _duration(value: Any, seen: Seen) -> Any:
    length = duration_words.nanoseconds(value) if isinstance(value, str) else None
    return value if length is None else Duration(length)


def _bytes(value: Any, seen: Seen) -> Any:
    # Kubernetes reads the alphabet for URLs here, although the format is the common one.
    other = _NOT_FOR_URLS.search(value) if isinstance(value, str) else None
    if other is not None:
        return CelError(f"Invalid byte formatted string {value}: illegal base64 data at input byte {other.start()}")
    try:
        return base64.urlsafe_b64decode(value)
    except (ValueError, TypeError):
        return value


_STRING_FORMATS: dict[str, Converter] = {"date-time": _timestamp, "date": _date, "duration": _duration, "byte": _bytes}
