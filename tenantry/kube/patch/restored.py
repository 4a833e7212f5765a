"""Puts an unstructured object into the form of a Go struct, as k8s.io/apimachinery's DefaultUnstructuredConverter does with what
strategic merge patches and applies make. Unlike a decoder of JSON it does not tell where a value is wrong, and it cuts integers
that are too large."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from tenantry.kube.go_decode import OWN_DECODERS, Mismatch, check_bytes, check_own
from tenantry.kube.message_tables import FieldType, Message

_BITS = {"int32": 32, "int64": 64}
_ANY = frozenset(("RawExtension", "FieldsV1", "JSON", "SelfOrList", "SelfOrBool", "SelfOrStrings"))
"""Types that take any value."""
_KINDS = {"double": "float64", "int32": "int32", "int64": "int64", "bool": "bool"}


def problem(message: Message, obj: dict[str, Any]) -> str:
    """Changes integers and bytes in `obj` to what the struct holds. The text about the first value of a wrong type, in the order
    of the struct's fields; empty where all are right. Null is right everywhere."""
    if message.root:
        for name in ("kind", "apiVersion"):
            if (text := _scalar(obj.get(name), "string", "string")) != "":
                return text
    for field in message.fields:
        value = obj.get(field.name)
        if value is not None and (text := _field(field.type, obj, field.name)):
            return text
    return ""


def _field(of: FieldType, holder: dict[str, Any], name: str) -> str:
    value = holder[name]
    if of.container == "map":
        if not isinstance(value, dict):
            return f"cannot restore map from {_kind(value)}"
        return _first(of, value, list(value))
    if of.container == "list":
        if not isinstance(value, list):
            return f"cannot restore slice from {_kind(value)}"
        return _first(of, value, range(len(value)))
    return _element(of, holder, name)


def _first(of: FieldType, holder: Any, places: Iterable[Any]) -> str:
    for place in places:
        if text := _element(of, holder, place):
            return text
    return ""


def _element(of: FieldType, holder: Any, place: Any) -> str:
    value = holder[place]
    if value is None or of.name in _ANY:
        return ""
    if of.name in OWN_DECODERS:
        return _own(of, value)
    if of.message is not None:
        return problem(of.message, value) if isinstance(value, dict) else f"cannot restore struct from: {_kind(value)}"
    if of.name == "Values":
        if not isinstance(value, list):
            return f"cannot restore slice from {_kind(value)}"
        return next((text for item in value if (text := _scalar(item, "string", "string"))), "")
    if of.name == "bytes":
        return _bytes(holder, place)
    text = _scalar(value, of.name, of.go_name)
    if not text and of.name in _BITS:
        holder[place] = _cut(value, _BITS[of.name])
    return text


def _own(of: FieldType, value: Any) -> str:
    try:
        check_own(of, value)
    except Mismatch as mismatch:
        return mismatch.conversion_text()
    return ""


def _bytes(holder: Any, place: Any) -> str:
    value = holder[place]
    if isinstance(value, list):
        for item in value:
            if text := _scalar(item, "int32", "uint8"):
                return text
        holder[place] = b64encode(bytes(_cut(item or 0, 64) & 255 for item in value)).decode()
        return ""
    if not isinstance(value, str):
        return f"cannot restore slice from {_kind(value)}"
    try:
        check_bytes(value)
    except Mismatch as mismatch:
        return f"error decoding from json: {mismatch.text()}"
    return ""


def _cut(value: int | float, bits: int) -> int:
    """The lowest bits of a number, as a conversion in Go takes them. One beyond int64 is the smallest int64 first."""
    number = int(value)
    if not -(1 << 63) <= number < 1 << 63:
        number = -(1 << 63)
    half = 1 << (bits - 1)
    return (number + half) % (2 * half) - half


def _scalar(value: Any, name: str, go_name: str) -> str:
    """Go converts between numbers, and knows a conversion of integers to strings, which it refuses with a text of its own."""
    found = _kind(value)
    if value is None or found == _KINDS.get(name, "string"):
        return ""
    if name == "double":
        return "" if found == "int64" else "unrecognized type: float64"
    if name in _BITS and found == "float64":
        return "" if value.is_integer() else f"cannot convert float64 to {go_name}"
    if name in _BITS and found == "int64":
        return ""
    if name == "string" and found == "int64":
        return f"cannot convert int64 to {go_name}"
    return f"unrecognized type: {'uint8' if go_name == 'uint8' else _KINDS.get(name, 'string')}"


def _kind(value: Any) -> str:
    """The kind of a decoded JSON value in Go."""
    match value:
        case bool():
            return "bool"
        case int():
            return "int64"
        case float():
            return "float64"
        case str():
            return "string"
        case list():
            return "slice"
        case _:
            return "map"
