"""CEL: the interface to the two engines.

When a definition is created, its rules are parsed and checked against types derived from the schema (`cel_check.py`), by
cel-expr-python, Google's C++ implementation. At run time they are evaluated untyped on JSON values (`Program`) by our own
interpreter, which charges the cost of a step before it executes it. The C++ engine is not used for this: an environment for each
schema would need too much memory for thousands of tenants, and an evaluation in it cannot be stopped.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

from tenantry.base.cache import cached
from tenantry.kube.schema import cel_syntax, cel_time
from tenantry.kube.schema.cel_interpreter import Compiled
from tenantry.kube.schema.cel_values import NONE, CelError, Cost, CostExceeded, Optional
from tenantry.kube.schema.ratchet import ABSENT
from tenantry.kube.schema.structural import Schema

__all__ = [
    "ABSENT",
    "Budget",
    "BudgetExceeded",
    "CelError",
    "Program",
    "Seen",
    "compile_text",
    "converter",
    "escape",
    "program",
    "refuse_too_large",
]

CALL_LIMIT = 1_000_000
"""The cost limit of one evaluation of an expression (PerCallLimit of k8s.io/apiserver/pkg/apis/cel)."""
OBJECT_LIMIT = 10_000_000
"""The cost limit of all expressions of one object together (RuntimeCELCostBudget)."""
AT_ONCE_LIMIT = 20_000
"""The same for an object that is validated on the event loop: a few milliseconds. An object above it is validated in a thread."""
EXPRESSION_MAX = 100_000
"""How many characters an expression may have; the limit of cel-go."""

_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
    ]
)
_ESCAPES = re.compile(r"__|\.|-|/")
_ESCAPED = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class BudgetExceeded(Exception):
    """An evaluation was stopped because of its cost. `whole`: the budget for all expressions of the object is spent, and not only
    that of one call."""

    def __init__(self, *, whole: bool) -> None:
        super().__init__("operation cancelled: actual cost limit exceeded")
        self.whole = whole


class LoopBudgetExceeded(Exception):
    """The expressions of an object cost more than is allowed on the event loop."""


class Budget:
    """How much the expressions of one object may still cost together."""

    __slots__ = ("left",)

    def __init__(self, limit: int = OBJECT_LIMIT) -> None:
        self.left = limit


def uses_old_self(expression: str) -> bool:
    """Whether `oldSelf` occurs in an expression outside of strings."""
    return any(word == "oldSelf" for word in cel_syntax.words(expression))


@cached("cel_names", bytes_max=1024 * 1024)
def escape(name: str) -> str | None:
    """A field name as a CEL identifier (`a-b` → `a__dash__b`). None where it cannot be one."""
    if name in _RESERVED:
        return f"__{name}__"
    escaped = _ESCAPES.sub(lambda m: _ESCAPED[m.group()], name)
    return escaped if _IDENTIFIER.fullmatch(escaped) else None


def refuse_too_large(expression: str) -> None:
    """Raises CelError for an expression that becomes too large, before the engine parses it. The engine has no limit: a macro
    doubles the expression in front of it."""
    if len(expression) > EXPRESSION_MAX:
        text = f"expression code point size exceeds limit: size: {len(expression)}, limit {EXPRESSION_MAX}"
        raise CelError(f"ERROR: <input>:-1:0: {text}")
    if cel_syntax.expanded_size(expression) > cel_syntax.EXPANDED_MAX:
        raise CelError(f"ERROR: <input>:-1:0: macros of the expression come to more than {cel_syntax.EXPANDED_MAX} nodes")


class Program:
    """A compiled expression over `self` and `oldSelf`."""

    def __init__(self, expression: str) -> None:
        """Raises CelError."""
        # Not at the top: the engine takes 17 MB, and most processes never need it.
        from tenantry.kube.schema import cel_engine

        refuse_too_large(expression)
        try:
            serialized = cel_engine.parse(expression)
        except RuntimeError as error:
            raise CelError(compile_text(str(error))) from None
        self._compiled = Compiled(cel_syntax.parsed(serialized), ("self", "oldSelf"))

    def run(self, value: Any, old: Any = ABSENT, *, optional_old: bool = False, budget: Budget | None = None) -> Any:
        """The result for values from `converter`. `old` is ABSENT where there is no old value. `optional_old`: oldSelf is an
        optional, as in a rule with optionalOldSelf. The cost is taken from the budget. Raises CelError and BudgetExceeded."""
        if optional_old:
            old = NONE if old is ABSENT else Optional((old,))
        left = OBJECT_LIMIT if budget is None else budget.left
        cost = Cost(min(left, CALL_LIMIT))
        try:
            return self._compiled.run((value, old), cost)
        except CostExceeded:
            raise BudgetExceeded(whole=left < CALL_LIMIT) from None
        finally:
            if budget is not None:
                budget.left -= min(cost.spent, budget.left)


@cached("cel_programs", bytes_max=32 * 1024 * 1024)
def program(expression: str) -> Program:
    """The Program for an expression. It is shared by all tenants."""
    return Program(expression)


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
        return None if each is None else _list_converter(each)
    return _object_converter(schema)


def _list_converter(each: Converter) -> Converter:
    def convert(value: Any, seen: Seen) -> Any:
        if type(value) is not list:
            return value
        made = seen.get(id(value))
        if made is None:
            made = seen[id(value)] = [each(item, seen) for item in value]
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
    if not renamed and not fields and values is None:
        return None

    def convert(value: Any, seen: Seen) -> Any:
        if type(value) is not dict:
            return value
        made = seen.get(id(value))
        if made is not None:
            return made
        out: dict[str, Any] = {}
        for key, item in value.items():
            change = fields.get(key, values)
            out[renamed.get(key) or key] = item if change is None or item is None else change(item, seen)
        seen[id(value)] = out
        return out

    return convert


def _double(value: Any, seen: Seen) -> Any:
    return float(value) if type(value) is int else value


def _timestamp(value: Any, seen: Seen) -> Any:
    if isinstance(value, str) and len(value) == len("2006-01-02"):
        value += "T00:00:00Z"
    return _read(cel_time.timestamp, value)


def _duration(value: Any, seen: Seen) -> Any:
    return _read(cel_time.duration, value)


def _read(read: Callable[[Any], Any], value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return read(value)
    except CelError:
        return value


def _bytes(value: Any, seen: Seen) -> Any:
    try:
        return base64.b64decode(value)
    except (ValueError, TypeError):
        return value


_STRING_FORMATS: dict[str, Converter] = {"date-time": _timestamp, "date": _timestamp, "duration": _duration, "byte": _bytes}


def compile_text(text: str, *, shift: int = 0) -> str:
    """The engine's message with cel-go's text. `shift`: how many characters of the first line are not the user's."""
    text = text.removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
    text = re.sub(r" not found in struct '[^']*'", "", text)
    if not shift:
        return text
    lines = []
    for line in text.split("\n"):
        place = re.match(r"(ERROR: <input>:1:)(\d+)(: .*)", line)
        if place:
            line = f"{place.group(1)}{int(place.group(2)) - shift}{place.group(3)}"
        elif line.startswith((" | .", " | cel.bind(")):
            line = " | " + line[3 + shift :]
        lines.append(line)
    return "\n".join(lines)
