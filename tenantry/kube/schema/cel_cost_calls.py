"""The highest costs of calls, and the sizes of their results: the rules of k8s.io/apiserver v0.37.2 (pkg/cel/library/cost.go),
and where it has none those of cel-go 0.29.2 (checker/cost.go, ext/lists.go)."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from tenantry.kube.schema.cel_declarations import Overload
from tenantry.kube.schema.cel_sizes import (
    LIST_COST,
    MOST,
    PER_CHARACTER,
    PER_PATTERN_CHARACTER,
    UNKNOWN,
    Size,
    fixed,
    plus,
    scaled,
    times,
)
from tenantry.kube.schema.cel_syntax import Literal, Node
from tenantry.kube.schema.cel_types import Type

_FORMAT_SIZE_MAX = 64
_FORMAT_PATTERN_MAX = 128
_IP_BYTES = 16


class Operand(NamedTuple):
    """An argument of a call. `size` is None where nothing is known. `item_size` gives the size of a list's items."""

    node: Node
    type: Type
    size: Size | None
    item_size: Callable[[], Size]

    @property
    def known_size(self) -> Size:
        return UNKNOWN if self.size is None else self.size


class CallCost(NamedTuple):
    """The highest cost of a call without that of its arguments, and the size of its result."""

    cost: int
    size: Size | None = None


_ONE = CallCost(1)
_Rule = Callable[[Overload, Operand | None, list[Operand]], CallCost | None]


def call_cost(function: str, overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost:
    """What a call may cost."""
    rule = _RULES.get(function)
    found = rule(overload, target, arguments) if rule is not None else None
    return _ONE if found is None else found


def _constant(cost: int) -> _Rule:
    return lambda overload, target, arguments: CallCost(cost)


def _of_target(factor: float, keeps_size: bool = True) -> _Rule:
    """Reads the value before the dot."""

    def rule(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
        if target is None:
            return None
        size = target.known_size
        return CallCost(size.cost(factor), size if keeps_size else None)

    return rule


def _of_argument(factor: float, keeps_size: bool = False) -> _Rule:
    """Reads the first argument."""

    def rule(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
        if not arguments:
            return None
        size = arguments[0].known_size
        return CallCost(size.cost(factor), size if keeps_size else None)

    return rule


def _list_scan(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    """Looks at each item of a list: one unit, and its characters where it is a text. A text is read once."""
    if target is None:
        return None
    size = target.known_size
    if not target.type.parameters:
        return CallCost(size.cost(PER_CHARACTER))
    cost = 1
    if target.type.parameters[0].kind in ("string", "bytes"):
        cost = plus(1, target.item_size().cost(PER_CHARACTER))
    return CallCost(times(size.largest, cost))


def _replace(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    if target is None or len(arguments) < 2:
        return None
    size, old, new = target.known_size, arguments[0].known_size, arguments[1].known_size
    # The longest result: the shortest text is replaced by the longest one, as often as it fits.
    if old.smallest == 0:
        most, kept_most = plus(size.largest, 1), size.largest
    elif new.largest <= old.smallest:
        most, kept_most = 0, size.largest
    else:
        most, kept_most = ceil(float(size.largest) / float(old.smallest)), 0
    # The shortest result, the other way round.
    if old.largest == 0:
        least, kept_least = plus(size.smallest, 1), size.smallest
    elif old.largest <= new.smallest:
        least, kept_least = 0, size.smallest
    else:
        least, kept_least = ceil(float(size.smallest) / float(old.largest)), 0
    made = Size(min(MOST, least), min(MOST, most)).times(new) + Size(kept_least, kept_most)
    return CallCost(size.cost(2 * PER_CHARACTER), made)


def _split(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    if target is None:
        return None
    size = target.known_size
    most = size.largest
    limit = arguments[1].node if len(arguments) > 1 else None
    if isinstance(limit, Literal) and type(limit.value) is int:
        most = limit.value & MOST
    return CallCost(size.cost(2 * PER_CHARACTER), Size(0, most))


def _join(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    if target is None:
        return None
    count = target.known_size
    size = count.times(target.item_size()) if target.type.parameters else Size(0, 0)
    if arguments:
        between = Size(max(0, count.smallest - 1), max(0, count.largest - 1))
        size += arguments[0].known_size.times(between)
    return CallCost(size.cost(PER_CHARACTER), size)


def _pattern_cost(text: Size, pattern: Size) -> int:
    return times((text + fixed(1)).cost(PER_CHARACTER), pattern.cost(PER_PATTERN_CHARACTER))


def _find(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    if target is None or not arguments:
        return None
    size = target.known_size
    return CallCost(_pattern_cost(size, arguments[0].known_size), Size(0, size.largest))


def _matches(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost:
    text, pattern = (target, arguments[0]) if target is not None else (arguments[0], arguments[1])
    return CallCost(_pattern_cost(text.known_size, pattern.known_size))


def _contains(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    if target is None:
        return None
    part = arguments[0].known_size.cost(PER_CHARACTER)
    return CallCost(times(target.known_size.cost(PER_CHARACTER), part))


def _ip(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    return _ONE if overload.is_member else _of_argument(PER_CHARACTER)(overload, target, arguments)


def _contains_address(base: int) -> _Rule:
    def rule(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost:
        text = arguments[0].known_size.cost(PER_CHARACTER) if overload.parameters[1].kind == "string" else 0
        return CallCost(plus(base, text))

    return rule


_CONTAINS_IP = scaled(2 * _IP_BYTES, PER_CHARACTER)
_CONTAINS_CIDR = _CONTAINS_IP + scaled(_IP_BYTES, PER_CHARACTER) + 1


def _validate(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost:
    size = arguments[0].known_size
    return CallCost(scaled(size.cost(PER_CHARACTER), _FORMAT_PATTERN_MAX * PER_PATTERN_CHARACTER))


def _equality(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost:
    left, right = arguments
    if left.type == right.type and left.type.name in _OWN_EQUALITY:
        return _OWN_EQUALITY[left.type.name](right)
    return _comparison(overload, target, arguments)


def _url_equality(right: Operand) -> CallCost:
    return CallCost(scaled(1 if right.size is None else right.size.largest, PER_CHARACTER))


_OWN_EQUALITY: dict[str, Callable[[Operand], CallCost]] = {
    "net.IP": lambda right: _ONE,
    "net.CIDR": lambda right: _ONE,
    "kubernetes.Quantity": lambda right: _ONE,
    "kubernetes.Semver": lambda right: _ONE,
    "kubernetes.NamedFormat": lambda right: CallCost(scaled(_FORMAT_SIZE_MAX, PER_CHARACTER)),
    "kubernetes.URL": _url_equality,
}


def _comparison(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost:
    """Reads both values as far as the shorter one reaches."""
    return CallCost(scaled(min(each.known_size.largest for each in arguments), PER_CHARACTER))


def _order(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    is_text = overload.parameters[0].kind in ("string", "bytes")
    return _comparison(overload, target, arguments) if is_text else None


def _add(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    kind = overload.parameters[0].kind
    if kind not in ("string", "bytes", "list"):
        return None
    size = arguments[0].known_size + arguments[1].known_size
    return CallCost(1 if kind == "list" else size.cost(PER_CHARACTER), size)


def _in(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    return CallCost(arguments[1].known_size.largest) if overload.parameters[1].kind == "list" else None


def _to_bytes(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    if overload.parameters[0].kind != "string":
        return None
    size = arguments[0].known_size
    return CallCost(size.cost(PER_CHARACTER), Size(size.smallest, size.largest * 4 & MOST))


def _to_string(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    if overload.parameters[0].kind != "bytes":
        return None
    size = arguments[0].known_size
    return CallCost(size.cost(PER_CHARACTER), Size(size.smallest // 4, size.largest))


def _quote(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost:
    size = arguments[0].known_size
    return CallCost(size.cost(PER_CHARACTER), Size((size.smallest + 2) & MOST, (size.largest * 2 + 2) & MOST))


def _number(operand: Operand, otherwise: int) -> int:
    """The value of a literal."""
    literal = operand.node
    return max(0, literal.value) if isinstance(literal, Literal) and type(literal.value) is int else otherwise


def _new_list(factor: float, size: Size) -> CallCost:
    return CallCost(plus(plus(size.cost(factor), 1), LIST_COST), size)


def _slice(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    if target is None:
        return None
    end = _number(arguments[1], target.known_size.largest)
    return _new_list(1, fixed((end - _number(arguments[0], 0)) & MOST))


def _range(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost:
    return _new_list(1, fixed(_number(arguments[0], MOST)))


def _flatten(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    if target is None:
        return None
    return _new_list(float(_number(arguments[0], MOST)) if arguments else 1.0, target.known_size)


def _reverse(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    return None if target is None else _new_list(1, target.known_size)


def _distinct(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    return None if target is None else _new_list(2, target.known_size.times(target.known_size))


def _sort(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost | None:
    """Sorts by keys: those of the last parameter."""
    keys = arguments[0] if arguments else target
    if keys is None:
        return None
    is_text = overload.parameters[-1].parameters[0].kind in ("string", "bytes")
    return _new_list(2 + PER_CHARACTER if is_text else 2, keys.known_size.times(keys.known_size))


def _sets(factor: float) -> _Rule:
    """Compares each item of one list with each of the other."""

    def rule(overload: Overload, target: Operand | None, arguments: list[Operand]) -> CallCost:
        pairs = arguments[0].known_size.times(arguments[1].known_size)
        return CallCost(plus(pairs.cost(factor), 1))

    return rule


_READS_TARGET, _READS_ARGUMENT = _of_target(PER_CHARACTER), _of_argument(PER_CHARACTER)
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _list_scan),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim"), _READS_TARGET),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "quantity", "isQuantity", "semver", "isSemver"), _READS_ARGUMENT),
    **dict.fromkeys(("startsWith", "endsWith"), _READS_ARGUMENT),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _order),
    **dict.fromkeys(("sort", "@sortByAssociatedKeys"), _sort),
    **dict.fromkeys(("find", "findAll"), _find),
    "url": _of_argument(PER_CHARACTER, keeps_size=True),
    "format": _of_target(PER_CHARACTER, keeps_size=False),
    "ip.isCanonical": _of_argument(2 * PER_CHARACTER),
    "replace": _replace,
    "split": _split,
    "join": _join,
    "matches": _matches,
    "contains": _contains,
    "ip": _ip,
    "containsIP": _contains_address(_CONTAINS_IP),
    "containsCIDR": _contains_address(_CONTAINS_CIDR),
    "validate": _validate,
    "_==_": _equality,
    "_!=_": _comparison,
    "_+_": _add,
    "@in": _in,
    "bytes": _to_bytes,
    "string": _to_string,
    "strings.quote": _quote,
    "sets.contains": _sets(1),
    "sets.intersects": _sets(1),
    "sets.equivalent": _sets(2),
    "slice": _slice,
    "lists.range": _range,
    "flatten": _flatten,
    "reverse": _reverse,
    "distinct": _distinct,
}
