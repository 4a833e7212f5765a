"""The values of CEL, their cost, and the errors of an evaluation.

Values are Python's bool, int, float, str, bytes, list, dict, None, and the classes here. An evaluation has a `Cost`, and every
function charges it before it does the work. The units are cel-go's (one for a step, a tenth for each character of a text). Where
cel-go charges less than the work may cost here, the difference is charged, too, on an account of its own (`Cost.work`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import total_ordering
from typing import Any

from tenantry.kube.schema.cel_errors import CelError, NoOverload
from tenantry.kube.schema.cel_keyed_lists import MapList, SetList, set_key
from tenantry.kube.schema.cel_syntax import Unsigned

PER_CHARACTER = 0.1
_MEMORY_PER_UNIT = 100
"""How many bytes one unit of cost pays for, in a comparison or copy."""
_DEPTH_MAX = 256


class CostExceeded(Exception):
    """An evaluation that was stopped at its limit. No operator catches it, in contrast to other errors (`||`)."""


class Cost:
    """How much an evaluation may still cost: in cel-go's units, and in work that cel-go does not charge, in the same units. Each
    has a limit of its own, so that no rule ends before it would in Kubernetes, unless it makes much out of little."""

    __slots__ = ("left", "limit", "spare")

    def __init__(self, limit: int, spare: int | None = None) -> None:
        self.limit = limit
        self.left = limit
        self.spare = limit if spare is None else spare

    def charge(self, units: float) -> None:
        """Charges what cel-go charges. Raises CostExceeded where less than this is left."""
        whole = int(units)
        self.left -= whole if whole == units else whole + 1
        if self.left < 0:
            raise CostExceeded

    def work(self, units: float) -> None:
        """Charges work that cel-go does not. Raises CostExceeded where less than this is left."""
        self.spare -= int(units) + 1
        if self.spare < 0:
            raise CostExceeded

    def fixed(self, units: int) -> None:
        """Charges a cost that has nothing to do with the time that a call takes here: that of an authorization check. Raises
        CostExceeded."""
        self.charge(units)

    def text(self, length: int, factor: float = 1.0) -> None:
        """Charges for reading a number of characters."""
        self.charge(length * factor * PER_CHARACTER)

    @property
    def spent(self) -> int:
        return self.limit - self.left


class UInt(Unsigned):
    """An unsigned integer of 64 bits."""

    __slots__ = ()


@total_ordering
@dataclass(frozen=True, slots=True)
class Timestamp:
    """Nanoseconds since 1970, UTC. `offset_seconds` is that of the zone in which it was written, and is written again."""

    nanoseconds: int
    offset_seconds: int = field(default=0, compare=False)

    def __lt__(self, other: Timestamp) -> bool:
        return self.nanoseconds < other.nanoseconds


@total_ordering
@dataclass(frozen=True, slots=True)
class Duration:
    nanoseconds: int

    def __lt__(self, other: Duration) -> bool:
        return self.nanoseconds < other.nanoseconds


@dataclass(frozen=True, slots=True)
class Optional:
    """An optional value. `items` has one item or none."""

    items: tuple[Any, ...] = ()


NONE = Optional()


@dataclass(frozen=True, slots=True)
class TypeValue:
    """The value of `type(x)`."""

    name: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value of a type that Kubernetes adds. `kind` is Quantity, URL, IP, CIDR, Semver, NamedFormat, or one of those of the
    authorizer. `value` is used to compare."""

    kind: str
    value: Any


class LazyFields:
    """A value whose fields are computed when they are read, as `variables` of an admission policy."""

    __slots__ = ()
    type_name = "dyn"

    def field(self, name: str) -> Any:
        """Raises CelError where there is no such field, or its computation fails."""
        raise NotImplementedError

    def has(self, name: str) -> bool:
        raise NotImplementedError

    def equals(self, cost: Cost, other: LazyFields) -> bool:
        """Whether two values of the same class are equal. Charges as `equal` does."""
        return self is other


_NAMES: dict[type, str] = {
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    SetList: "list",
    MapList: "list",
    dict: "map",
    type(None): "null_type",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    Optional: "optional_type",
    TypeValue: "type",
}
TYPE_NAMES = frozenset(_NAMES.values()) | {"net.IP", "net.CIDR"}


def type_name(value: Any) -> str:
    if type(value) is Opaque:
        return f"{'net' if value.kind in ('IP', 'CIDR') else 'kubernetes'}.{value.kind}"
    if isinstance(value, LazyFields):
        return value.type_name
    return _NAMES.get(type(value), "dyn")


def readable(value: Any) -> Any:
    """A field or item. Raises CelError where it has a format that cannot be read (`cel.converter`)."""
    if type(value) is CelError:
        raise value.with_traceback(None)
    return value


def size(value: Any) -> int:
    """The size on which the cost of a function depends: characters, bytes, items or entries; one for every other value."""
    if isinstance(value, _SIZED):
        return len(value)
    kind = type(value)
    if kind is Opaque and value.kind == "IP":
        return 4 if value.value.version == 4 else 16
    if kind is Opaque and value.kind == "CIDR":
        return -(-int(value.value.network.prefixlen) // 8)
    if kind is Optional and value.items:
        return size(value.items[0])
    return 1


_SIZED = (str, bytes, list, dict)
_NUMBERS = frozenset((int, float, UInt))
_AT_ONCE = frozenset((str, int, float, UInt, type(None)))
_AT_ONCE_NO_NUMBERS = frozenset((str, bool, type(None)))


def is_number(value: Any) -> bool:
    return type(value) in _NUMBERS


def charge_equal(cost: Cost, left: Any, right: Any) -> None:
    """Charges cel-go's cost of `==`."""
    kind = type(left)
    if (kind in _NUMBERS and type(right) in _NUMBERS) or kind is Opaque:
        cost.left -= 1
        if cost.left < 0:
            raise CostExceeded
        return
    cost.charge(min(size(left), size(right)) * PER_CHARACTER)


def equal(cost: Cost, left: Any, right: Any) -> bool:
    """Whether two values are equal in CEL. Numbers of all types can be equal; other values of different types are not.

    Charges for the content of lists and maps. The caller has charged for the values themselves.
    """
    kind = type(left)
    if kind is not type(right) and not (isinstance(left, list) and isinstance(right, list)):
        return kind in _NUMBERS and type(right) in _NUMBERS and bool(left == right)
    if kind is str or kind is bytes:
        if len(left) != len(right):
            return False
        if len(left) > _MEMORY_PER_UNIT:
            cost.work(len(left) // _MEMORY_PER_UNIT)
        return bool(left == right)
    if kind is dict or isinstance(left, list):
        return _deeply_equal(cost, left, right)
    if kind is Opaque:
        if left.kind.startswith("authorization."):
            # As upstream, whose authorizer has no equality.
            raise NoOverload
        return bool(left.kind == right.kind and left.value == right.value)
    if isinstance(left, LazyFields):
        return left.equals(cost, right)
    if kind is Optional:
        return len(left.items) == len(right.items) and all(
            equal(cost, a, b) for a, b in zip(left.items, right.items, strict=True)
        )
    return bool(left == right)


def _deeply_equal(cost: Cost, left: Any, right: Any) -> bool:
    waiting: list[tuple[Any, Any]] = [(left, right)]
    while waiting:
        one, other = waiting.pop()
        if one is other:
            continue
        if len(one) != len(other):
            return False
        cost.work(6 + len(one) / 2)
        kind = type(one)
        if kind is SetList:
            cost.work(len(one))
            if {set_key(item) for item in one} != {set_key(item) for item in other}:
                return False
            continue
        if kind is MapList:
            if not _map_list_pairs(cost, one, other, waiting):
                return False
            continue
        keyed = kind is dict
        if _compare_at_once(one.values() if keyed else one, other.values() if keyed else other):
            if (one if keyed else [*one]) != (other if keyed else [*other]):
                return False
            continue
        cost.work(len(one))
        for key in one if keyed else range(len(one)):
            if keyed and key not in other:
                return False
            if not _same_or_later(cost, one[key], other[key], waiting):
                return False
    return True


def _map_list_pairs(cost: Cost, one: MapList, other: list[Any], waiting: list[tuple[Any, Any]]) -> bool:
    """The items with the same keys are compared later. False where an item has no counterpart."""
    cost.work(2 * len(one))
    mine, theirs = one.by_keys(), {one.key(item): item for item in other}
    if mine.keys() != theirs.keys():
        return False
    waiting += [(item, theirs[key]) for key, item in mine.items()]
    return True


def _compare_at_once(values: Iterable[Any], others: Iterable[Any]) -> bool:
    """Whether Python's `==` gives CEL's result for these values: texts and numbers, without a boolean beside a number."""
    kinds = {*map(type, values), *map(type, others)}
    return kinds <= _AT_ONCE or kinds <= _AT_ONCE_NO_NUMBERS


def _same_or_later(cost: Cost, one: Any, other: Any, waiting: list[tuple[Any, Any]]) -> bool:
    if (type(one) is dict and type(other) is dict) or (isinstance(one, list) and isinstance(other, list)):
        waiting.append((one, other))
        return True
    return equal(cost, one, other)


def contains(cost: Cost, items: Any, wanted: Any) -> bool:
    """Whether an item of a list, or a key of a map, equals a value. Charges for each comparison."""
    if type(items) is dict:
        return is_key(wanted) and wanted in items
    if type(wanted) is str and len(wanted) <= _MEMORY_PER_UNIT:
        return wanted in items
    return any(equal(cost, item, wanted) for item in items)


def is_key(value: Any) -> bool:
    return type(value) in (str, int, bool, UInt, float)


def less(cost: Cost, left: Any, right: Any) -> bool:
    """Whether one value is less than the other. Raises NoOverload where the values have no order."""
    kind = type(left)
    if kind is not type(right):
        if kind in _NUMBERS and type(right) in _NUMBERS:
            return bool(left < right)
        raise NoOverload
    if kind in _ORDERED or (kind is Opaque and left.kind in ("Quantity", "Semver") and left.kind == right.kind):
        return bool(left.value < right.value) if kind is Opaque else bool(left < right)
    raise NoOverload


_ORDERED = _NUMBERS | {str, bytes, bool, Timestamp, Duration}


def traversal(cost: Cost, value: Any) -> None:
    """Charges for reading a value and everything in it: one for each value that is no text, list or map, and whole tenths of the
    bytes of texts."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        kind = type(each)
        if kind is str:
            cost.charge(int((len(each) if each.isascii() else len(each.encode(errors="replace"))) * PER_CHARACTER))
        elif kind is bytes:
            cost.charge(int(len(each) * PER_CHARACTER))
        elif isinstance(each, list):
            cost.work(len(each) / 4)
            waiting.extend(each)
        elif kind is dict:
            cost.work(len(each) / 2)
            waiting.extend(each.keys())
            waiting.extend(each.values())
        else:
            cost.charge(1)


_SHORT = frozenset(("matches", "contains", "startsWith", "endsWith", "or", "orValue"))
_NAMED_ONLY = frozenset(("size", "sort"))


def no_overload(error: NoOverload, name: str, values: Sequence[Any]) -> NoOverload:
    """The error with cel-go's text, which has the function and the types of the values for most functions."""
    if name.startswith(("_", "!", "-", "@")) or name in _SHORT or str(error) != "no such overload":
        return error
    if name in _NAMED_ONLY:
        return NoOverload(f"no such overload: {name}")
    return NoOverload(f"no such overload: {name}({', '.join(map(type_name, values))})")
