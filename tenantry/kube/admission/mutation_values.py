"""The results of mutations as values of an object: an apply configuration, or the operations of a JSON patch.

Go has values that CEL makes and JSON does not have (null, bytes, times, unsigned numbers, and maps or lists that an expression
writes out inside of others). They are `GoValue` here, and no type accepts them (k8s.io/apiserver/pkg/cel/mutation/dynamic).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from math import isfinite, isnan
from typing import Any, Final

from tenantry.kube import go_text
from tenantry.kube.go_text import GoValue
from tenantry.kube.schema import cel_time
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.schema.cel_objects import JSON_PATCH, Constructed
from tenantry.kube.schema.cel_values import Duration, Opaque, Optional, Timestamp, TypeValue, UInt

BYTES_MAX = 3 * 1024 * 1024
"""The most bytes of texts that all mutations of a write may add together; a request may have as many."""
VALUES_MAX = 200_000
"""The same for values."""
_AT_ONCE_MAX = 2_000
"""So many values are looked at on the event loop: about a millisecond."""
_EXACT = (1 << 53) - 1
"""JSON numbers of protobuf are doubles: integers beyond are texts."""


_UNEQUAL: Final = object()


class NotConvertible(Exception):
    """A value that cannot be a part of an object. The text is Go's."""


class MutationTooLarge(Exception):
    """The mutations of a write add more than one may."""

    def __init__(self) -> None:
        super().__init__(f"the mutations of a request may add {BYTES_MAX} bytes and {VALUES_MAX} values")


class NilList(list[Any]):
    """An empty list as the field of an object, which Go has as a nil slice: null, where it is not merged with another list."""

    __slots__ = ()


class Growth:
    """What the mutations of one write may still add. `at_once`: on the event loop, where few values may be looked at for it."""

    __slots__ = ("at_once", "bytes_left", "looks_left", "values_left")

    def __init__(self, *, at_once: bool = False) -> None:
        self.at_once = at_once
        self.bytes_left = BYTES_MAX
        self.values_left = VALUES_MAX
        self.looks_left = _AT_ONCE_MAX if at_once else VALUES_MAX

    def again(self, *, at_once: bool) -> Growth:
        """The same, for a mutation that may have to be made again."""
        same = Growth(at_once=at_once)
        same.bytes_left, same.values_left = self.bytes_left, self.values_left
        return same

    def add(self, size_bytes: int = 0) -> None:
        """Counts a value. Raises MutationTooLarge, and LoopBudgetExceeded on the loop."""
        self.bytes_left -= size_bytes
        self.values_left -= 1
        if self.bytes_left < 0 or self.values_left < 0:
            raise MutationTooLarge
        self.look()

    def look(self) -> None:
        """Counts a value that is looked at: an expression can have one value in very many places. Raises as `add`."""
        self.looks_left -= 1
        if self.looks_left < 0:
            if self.at_once:
                raise LoopBudgetExceeded
            raise MutationTooLarge


def own_copy(value: Any) -> Any:
    """A copy of what was merged, with lists and maps of its own."""
    if isinstance(value, dict):
        return {key: own_copy(item) if isinstance(item, dict | list) else item for key, item in value.items()}
    if type(value) is NilList:
        return None
    return [own_copy(item) if isinstance(item, dict | list) else item for item in value]


class Converter:
    """Converts the results of one mutation. `given`: the JSON values that its expression could read."""

    def __init__(self, given: Iterable[Any], growth: Growth) -> None:
        self._given = given
        self.growth = growth
        self._known: set[int] | None = None

    def configuration(self, result: Constructed) -> dict[str, Any]:
        """The apply configuration of an object. Raises NotConvertible and MutationTooLarge."""
        made = {}
        for name, value in result.fields.items():
            self.growth.add(len(name))
            made[name] = self._field(name, value)
        return made

    def operation(self, patch: Constructed) -> dict[str, Any]:
        """An operation of a JSON patch. Raises NotConvertible and MutationTooLarge."""
        fields = patch.fields
        made: dict[str, Any] = {"op": fields.get("op", ""), "path": fields.get("path", "")}
        if fields.get("from"):
            made["from"] = fields["from"]
        if "value" in fields:
            made["value"] = self._json(fields["value"])
            if made["value"] is None and made["op"] == "test":
                # Upstream's null is equal to no value of a document, in contrast to one that a client sends.
                made["value"] = _UNEQUAL
        return made

    # Parts of an object, as Go's unstructured objects hold them

    def _field(self, name: str, value: Any) -> Any:
        try:
            return self._native(value)
        except NotConvertible as error:
            raise NotConvertible(f'fail to convert field "{name}": {error}') from None

    def _native(self, value: Any) -> Any:
        if isinstance(value, list):
            each = self._whole if self._is_given(value) else self._element
            return [each(item) for item in value] if value else NilList()
        if isinstance(value, dict):
            each = self._whole if self._is_given(value) else self._element
            return self._entries(value, each)
        return self._element(value)

    def _entries(self, value: dict[Any, Any], each: Callable[[Any], Any]) -> dict[str, Any]:
        made = {}
        for key, item in value.items():
            if type(key) is not str:
                raise NotConvertible(f"map key {_rune(key)} is of type {_cel_type(key)}, not string")
            self.growth.add(len(key))
            made[key] = each(item)
        return made

    def _whole(self, value: Any) -> Any:
        """A part of what was given."""
        if isinstance(value, list):
            return [self._whole(item) for item in value]
        if isinstance(value, dict):
            return {key: self._whole(item) for key, item in value.items()}
        return self._element(value)

    def _element(self, value: Any) -> Any:
        """A value in a list or a map, whose own parts are not converted where an expression wrote it out."""
        self.growth.add(len(value) if isinstance(value, str) else 0)
        if isinstance(value, Constructed):
            if value.type_name == JSON_PATCH.name:
                return GoValue("*mutation.JSONPatchVal", "", "", None)
            try:
                return {name: self._field(name, item) for name, item in value.fields.items()}
            except NotConvertible as error:
                return GoValue("*types.Err", str(error), go_text.quote(str(error)), None)
        if isinstance(value, list | dict):
            return self._copied(value) if self._is_given(value) else _written_out(value)
        if isinstance(value, Optional):
            return self._element(value.items[0]) if value.items else None
        return _scalar(value)

    def _copied(self, value: Any) -> Any:
        self.growth.add(len(value) if isinstance(value, str) else 0)
        if isinstance(value, list):
            return [self._copied(item) for item in value]
        if isinstance(value, dict):
            return {key: self._copied(item) for key, item in value.items()}
        return value

    def _is_given(self, value: Any) -> bool:
        """Whether a list or a map was in what the expression read."""
        if self._known is None:
            self._known = set()
            waiting = [each for each in self._given if isinstance(each, list | dict)]
            while waiting:
                each = waiting.pop()
                self._known.add(id(each))
                inner = each.values() if isinstance(each, dict) else each
                waiting += [item for item in inner if isinstance(item, list | dict)]
        return id(value) in self._known

    # Values of operations, as protobuf's JSON writes them

    def _json(self, value: Any) -> Any:
        if isinstance(value, Constructed):
            if value.type_name == JSON_PATCH.name:
                raise NotConvertible("cannot convert to native type: *structpb.Value")
            self.growth.add()
            return self._protobuf({name: self._field(name, item) for name, item in value.fields.items()})
        if isinstance(value, Optional):
            if not value.items:
                raise NotConvertible("optional.none() dereference")
            return self._json(value.items[0])
        self.growth.add(len(value) if isinstance(value, str | bytes) else 0)
        if isinstance(value, list):
            return [self._json(item) for item in value]
        if isinstance(value, dict):
            return {self._json_key(key): self._json(item) for key, item in value.items()}
        return _json_scalar(value)

    def _json_key(self, key: Any) -> str:
        if type(key) is bool:
            raise NotConvertible("type conversion error from bool to 'string'")
        if type(key) is not str:
            raise NotConvertible(f"unsupported type conversion from '{'uint' if type(key) is UInt else 'int'}' to string")
        self.growth.add(len(key))
        return key

    def _protobuf(self, value: Any) -> Any:
        """The content of an object as a protobuf value, whose numbers are doubles."""
        if isinstance(value, dict):
            return {key: self._protobuf(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._protobuf(item) for item in value]
        if isinstance(value, GoValue):
            if isinstance(value.value, bytes):
                return base64.b64encode(value.value).decode()
            if type(value.value) is not UInt:
                raise NotConvertible(f"proto: invalid type: {value.type_name}")
            value = int(value.value)
        return _number(float(value)) if type(value) is int or type(value) is float else value


def _json_scalar(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value) if -_EXACT <= value <= _EXACT else str(int(value))
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Timestamp):
        return cel_time.timestamp_text(value)
    if isinstance(value, Duration):
        return cel_time.duration_text(value)
    if isinstance(value, TypeValue):
        raise NotConvertible("type conversion not supported for 'type'")
    kind = value.kind if isinstance(value, Opaque) else type(value).__name__
    raise NotConvertible(f"type conversion error from '{kind}' to '*structpb.Value'")


def _number(value: float) -> int | float:
    if not isfinite(value):
        shown = "NaN" if isnan(value) else "+Inf" if value > 0 else "-Inf"
        what = "json: error calling MarshalJSON for type *structpb.Value: proto: google.protobuf.Value.number_value"
        raise NotConvertible(f"{what}: invalid {shown} value")
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _scalar(value: Any) -> Any:
    """A value that has no parts, as Go holds it."""
    if value is None:
        return GoValue("structpb.NullValue", "NULL_VALUE", "0", None)
    if type(value) is UInt:
        return GoValue("uint64", str(int(value)), hex(value), value)
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 1 << 63 else value
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        shown = " ".join(map(str, value[:100]))
        return GoValue("[]uint8", f"[{shown}]", f"[]uint8{{{', '.join(map(hex, value[:100]))}}}", value)
    if isinstance(value, Timestamp):
        text = cel_time.timestamp_text(value).removesuffix("Z").replace("T", " ")
        return GoValue("time.Time", f"{text} +0000 UTC", f"{text} +0000 UTC", None)
    if isinstance(value, Duration):
        return GoValue("time.Duration", go_text.duration(value.nanoseconds), str(value.nanoseconds), None)
    if isinstance(value, TypeValue):
        return value.name
    kind = value.kind if isinstance(value, Opaque) else type(value).__name__
    return GoValue(kind, kind, kind, None)


_SHOWN_MAX = 100


def _written_out(value: Any) -> GoValue:
    """A list or a map that an expression wrote out inside of another one."""
    if isinstance(value, list):
        items = value[:_SHOWN_MAX]
        shown = f"[{' '.join(map(_plain, items))}]", f"[]ref.Val{{{', '.join(map(_syntax, items))}}}"
        return GoValue("[]ref.Val", *shown, None)
    entries = sorted([*value.items()][:_SHOWN_MAX], key=lambda entry: (type(entry[0]).__name__, entry[0]))
    plain = " ".join(f"{_plain(key)}:{_plain(item)}" for key, item in entries)
    syntax = ", ".join(f"{_syntax(key)}:{_syntax(item)}" for key, item in entries)
    return GoValue("map[ref.Val]ref.Val", f"map[{plain}]", f"map[ref.Val]ref.Val{{{syntax}}}", None)


def _plain(value: Any) -> str:
    return go_text.plain(value) if isinstance(value, bool | int | float | str) else "…"


def _syntax(value: Any) -> str:
    return go_text.syntax(value) if isinstance(value, bool | int | float | str) else "…"


def _rune(key: Any) -> str:
    """A number as `%q` prints it: the character of this code."""
    if type(key) is bool:
        return f"%!q(types.Bool={'true' if key else 'false'})"
    code = int(key)
    text = chr(code) if 0 <= code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
    return "'" + go_text.quote(text)[1:-1].replace("'", "\\'") + "'"


def _cel_type(key: Any) -> str:
    return {bool: "types.Bool", UInt: "types.Uint"}.get(type(key), "types.Int")
