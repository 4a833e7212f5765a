"""CEL expressions over named variables whose types are not known: those of declared views, and of admission.

The rules of a schema (`cel_rules`) know the types of what they read. These expressions read any object as the JSON that it is, so
all that is checked of them before they run is their syntax, their names and their type. What they cost is estimated for an object
of ordinary size, and limited when they run.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from hashlib import blake2b
from math import isfinite
from typing import Any

from tenantry.base.cache import Cache
from tenantry.kube.schema import cel_time, cel_tokens
from tenantry.kube.schema.cel_check import check
from tenantry.kube.schema.cel_cost import estimate_untyped
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_interpreter import Compiled
from tenantry.kube.schema.cel_parser import parse
from tenantry.kube.schema.cel_types import DYN
from tenantry.kube.schema.cel_values import Cost, Duration, Timestamp, UInt

RUN_LIMIT = 10_000
"""The most that one evaluation may cost, in cel-go's units. It is made on the event loop, for each object of a list."""
ESTIMATE_LIMIT = 1_000_000
"""The most that an expression may cost by the estimate (`estimated_cost`)."""
ORDINARY_SIZE = 100
"""The size of lists, maps and texts for which the estimate is made."""
_RESULT_DEPTH = 64
_PLAIN = frozenset({str, int, bool, type(None)})


class Compilation:
    """A compiled expression."""

    def __init__(self, text: str, variables: tuple[str, ...], *, patch_types: bool) -> None:
        """`variables`: the names that the expression may use. Raises CelError."""
        self._compiled = Compiled(parse(text).root, variables, patch_types=patch_types)

    def run(self, values: Sequence[Any], cost: Cost) -> Any:
        """The result for the values of the variables, in their order. Raises CelError, and CostExceeded where less than the
        evaluation costs is left of `cost`."""
        return self._compiled.run(values, cost)


_compilations: Cache[bytes, Compilation | str] = Cache("cel_expressions", bytes_max=64 << 20, keeps_large=True)
"""By a digest of the text and the variables, since keys are short; of one that cannot be compiled, why. Shared by all who
have the same text."""


class Expression:
    """An expression over these variables. It is compiled when it is first evaluated, unless `compile` was called: that takes some
    10 ms for each 1,000 characters, and may be done in a thread. Equal ones have the same text. `patch_types`: it may construct
    objects and JSON patches (`cel_objects`). `named`: the places of variables whose names occur in the text; it may use these."""

    __slots__ = ("_key", "_patch_types", "_variables", "named", "text")

    def __init__(self, text: str, variables: tuple[str, ...], *, patch_types: bool = False) -> None:
        self.text = text
        self._variables = variables
        self._patch_types = patch_types
        self.named = tuple(place for place, name in enumerate(variables) if name.rpartition(".")[2] in text)
        self._key = blake2b(repr((text, variables, patch_types)).encode(), digest_size=24).digest()

    @property
    def is_compiled(self) -> bool:
        return self._key in _compilations

    @property
    def compiles(self) -> bool:
        return not isinstance(self.compile(), str)

    def known(self) -> Compilation | str | None:
        """As `compile`, where it was compiled already."""
        return _compilations.get(self._key)

    def compile(self) -> Compilation | str:
        """The compilation, or why there is none. Such an expression fails when it is evaluated."""
        return _compilations.compute(self._key, self._compile)

    def run(self, values: Sequence[Any], cost: Cost) -> Any:
        """The result for the values of the variables, in their order. Raises CelError, and CostExceeded where less than the
        evaluation costs is left of `cost`."""
        found = self.compile()
        if isinstance(found, str):
            raise CelError(found)
        return found.run(values, cost)

    def _compile(self) -> Compilation | str:
        try:
            return Compilation(self.text, self._variables, patch_types=self._patch_types)
        except CelError as error:
            return str(error)


def problem_of(text: str, variables: tuple[str, ...], results: Sequence[str]) -> str:
    """What is wrong with an expression; empty where it can be used. `results`: the types that it may have (BOOL, MAP, …)."""
    try:
        checked = check(text, dict.fromkeys(variables, DYN), {}, may_mix=True)
        compilation = Expression(text, variables).compile()
    except CelError as error:
        return f"compilation failed: {error}"
    if isinstance(compilation, str):
        return f"compilation failed: {compilation}"
    if checked.type.kind.upper() not in (*results, "DYN"):
        return f"cel expression must evaluate to a {results[0].lower()}"
    cost = estimate_untyped(checked, ORDINARY_SIZE)
    if cost > ESTIMATE_LIMIT:
        return (
            f"estimated cost exceeds budget by factor of {cost / ESTIMATE_LIMIT:.1f}x, for lists, maps and texts of size "
            f"{ORDINARY_SIZE} (try simplifying the expression)"
        )
    return ""


def words(text: str) -> frozenset[str]:
    """The names that occur in an expression outside of strings."""
    return frozenset(cel_tokens.words(text))


def to_json(cost: Cost, value: Any, depth: int = _RESULT_DEPTH) -> Any:
    """A result as JSON: times, durations and bytes as texts. Charges for each value. Raises CelError for what JSON does not
    have, and CostExceeded."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if depth == 0:
        raise CelError("the result is nested too deeply")
    if kind is list:
        cost.charge(1 + len(value) / 2)
        return [to_json(cost, item, depth - 1) for item in value]
    if kind is dict:
        cost.charge(1 + len(value) / 2)
        if not all(type(key) is str for key in value):
            raise CelError("the result has a map with keys that are no texts")
        return {key: to_json(cost, item, depth - 1) for key, item in value.items()}
    if kind is float and isfinite(value):
        return value
    if kind is UInt:
        return int(value)
    if kind is bytes:
        return base64.b64encode(value).decode()
    if kind is Timestamp:
        return cel_time.timestamp_text(value)
    if kind is Duration:
        return cel_time.duration_text(value)
    raise CelError("the result has a value that JSON does not have")
