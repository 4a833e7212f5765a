"""What is wrong with the result of a strategic merge patch, in the words of the converter that puts it into a Go struct
(k8s.io/apimachinery's DefaultUnstructuredConverter). Unlike a decoder of JSON it does not tell where."""

from __future__ import annotations

from typing import Any

from tenantry.kube.go_decode import Mismatch, check_bytes
from tenantry.kube.message_tables import FieldType, Message

_INTEGERS = frozenset(("int32", "int64"))
_OWN_DECODERS = frozenset(
    ("Time", "MicroTime", "Quantity", "RawExtension", "FieldsV1", "JSON", "SelfOrList", "SelfOrBool", "SelfOrStrings")
)
"""Types that decode themselves: what they say of a wrong value, `tenantry.kube.decode` says too."""
_INT32 = 1 << 31
_KINDS = {"double": "float64", "int32": "int32", "int64": "int64", "bool": "bool"}


def problem(message: Message, obj: dict[str, Any]) -> str:
    """The text about the first value of a wrong type, in the order of the struct's fields; empty where all are right. Null is
    right everywhere."""
    if message.root:
        for name in ("kind", "apiVersion"):
            if (text := _scalar(obj.get(name), "string", "string")) != "":
                return text
    for field in message.fields:
        value = obj.get(field.name)
        if value is not None and (text := _field(field.type, value)):
            return text
    return ""


def _field(of: FieldType, value: Any) -> str:
    if of.container == "map":
        if not isinstance(value, dict):
            return f"cannot restore map from {_kind(value)}"
        return _first(of, value.values())
    if of.container == "list":
        if not isinstance(value, list):
            return f"cannot restore slice from {_kind(value)}"
        return _first(of, value)
    return _element(of, value)


def _first(of: FieldType, values: Any) -> str:
    for value in values:
        if text := _element(of, value):
            return text
    return ""


def _element(of: FieldType, value: Any) -> str:
    if value is None or of.name in _OWN_DECODERS:
        return ""
    if of.message is not None:
        return problem(of.message, value) if isinstance(value, dict) else f"cannot restore struct from: {_kind(value)}"
    if of.name == "Values":
        if not isinstance(value, list):
            return f"cannot restore slice from {_kind(value)}"
        return next((text for item in value if (text := _scalar(item, "string", "string"))), "")
    if of.name == "IntOrString":
        return _int_or_string(value)
    return _bytes(value) if of.name == "bytes" else _scalar(value, of.name, of.go_name)


def _bytes(value: Any) -> str:
    if not isinstance(value, str):
        return "" if isinstance(value, list) else f"cannot restore slice from {_kind(value)}"
    try:
        check_bytes(value)
    except Mismatch as mismatch:
        return f"error decoding from json: {mismatch.text()}"
    return ""


def _int_or_string(value: Any) -> str:
    found = _kind(value)
    if found == "string" or (found == "int64" and -_INT32 <= value < _INT32):
        return ""
    shown = {"slice": "array", "map": "object", "bool": "bool"}.get(found, f"number {value}")
    return f"json: cannot unmarshal {shown} into Go value of type int32"


def _scalar(value: Any, name: str, go_name: str) -> str:
    """Go converts between numbers, and knows a conversion of integers to strings, which it refuses with a text of its own."""
    found = _kind(value)
    if value is None or found == _KINDS.get(name, "string"):
        return ""
    if name == "double":
        return "" if found == "int64" else "unrecognized type: float64"
    if name in _INTEGERS and found == "float64":
        return "" if value.is_integer() else f"cannot convert float64 to {go_name}"
    if name in _INTEGERS and found == "int64":
        return ""
    if name == "string" and found == "int64":
        return f"cannot convert int64 to {go_name}"
    return f"unrecognized type: {_KINDS.get(name, 'string')}"


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
