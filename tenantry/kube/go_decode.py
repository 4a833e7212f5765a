"""The checks behind `tenantry.kube.decode`: one compiled closure for each message, made from its table."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from tenantry.kube.codec.json_codec import Beyond
from tenantry.kube.go_times import ZERO_TIMES, canonical_micro_time, canonical_time
from tenantry.kube.message_tables import Field, FieldType, Message
from tenantry.kube.numbers import json_text
from tenantry.kube.objects import Object
from tenantry.kube.quantity import canonical

Normaliser = Callable[[Object], None]
Convert = Callable[[Any], Any]
"""Checks a value and returns its canonical form."""

_ZERO_VALUES: dict[str, Any] = {
    "string": "",
    "bool": False,
    "int32": 0,
    "int64": 0,
    "double": 0,
    "Quantity": "0",
    "IntOrString": 0,
}
_INT_LIMITS = {"int32": 1 << 31, "int64": 1 << 63}
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_DIGIT = re.compile(r"[A-Za-z0-9+/]")
OWN_DECODERS = frozenset(("Time", "MicroTime", "Quantity", "IntOrString"))
"""Types with a decoder of their own, whose texts do not depend on who calls it."""


class Mismatch(Exception):
    """A value that does not match its Go type. The path is filled in on the way up."""

    def __init__(self, value: Any, go_type: str, text: str = "", *, own: bool = False) -> None:
        """`own`: the type decodes itself, and does not know where the value is."""
        super().__init__()
        self._value = value
        self._go_type = go_type
        self._text = text
        self._own = own
        self.struct = ""
        self.path: list[str] = []

    @property
    def is_fraction(self) -> bool:
        """Whether the value is a number with a fraction or an exponent."""
        return isinstance(self._value, float)

    def text(self) -> str:
        """Go's text: `json: cannot unmarshal number into Go struct field ConfigMap.data of type string`."""
        if self._text:
            return self._text
        if not self.struct:
            return self._placeless_text()
        field = ".".join(reversed(self.path))
        found = _json_name(self._value, self._go_type)
        return f"json: cannot unmarshal {found} into Go struct field {self.struct}.{field} of type {self._go_type}"

    def conversion_text(self) -> str:
        """Go's text where the value is not decoded, but converted from an unstructured object."""
        if self._own:
            return self._text or self._placeless_text()
        if isinstance(self._value, float) and self._go_type.startswith("int"):
            return f"cannot convert float64 to {self._go_type}"
        text = self.text()
        return f"error decoding from json: {text}" if text.startswith("illegal base64") else text

    def _placeless_text(self) -> str:
        return f"json: cannot unmarshal {_json_name(self._value, self._go_type)} into Go value of type {self._go_type}"

    def __str__(self) -> str:
        return self.text()


def _json_name(value: Any, go_type: str) -> str:
    match value:
        case bool():
            return "bool"
        case float() if type(value) is float:
            return f"number {json_text(value)}" if go_type.startswith(("int", "float")) else "number"
        case Beyond():
            return f"number {value}" if go_type.startswith(("int", "float")) else "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return f"number {value}" if go_type.startswith(("int", "float")) else "number"


def normaliser(message: Message) -> Normaliser:
    """The compiled check of a message. It changes the object in place and raises Mismatch."""
    found: Normaliser | None = message.memo.get("decode")
    if found is None:
        found = message.memo["decode"] = _compile(message)
    return found


def _compile(message: Message) -> Normaliser:
    # (plain type, convert, zero value that stays): a value of the plain type that needs no conversion is the fast path.
    fields: dict[str, tuple[type | None, Convert | None, bool]] = {}
    within = {item.name: item.within for item in message.fields if item.within}
    written: list[tuple[str, Callable[[], Any]]] = []
    if message.root:
        fields |= {"apiVersion": (str, _scalar(str, "string"), True), "kind": (str, _scalar(str, "string"), True)}
    for item in message.fields:
        stays = item.always or item.type.pointer or _is_struct(item.type)
        fields[item.name] = (*_check(item.type), stays)
        if item.always or (_is_struct(item.type) and not item.type.pointer):
            written.append((item.name, _zero(item)))
    always = tuple(written)
    find, name = fields.get, message.name

    def check(obj: Object) -> None:
        drop: list[str] = []
        for key, value in obj.items():
            field = find(key)
            if field is None:
                continue
            plain, convert, stays = field
            if value.__class__ is not plain:
                if value is None:
                    drop.append(key)
                    continue
                try:
                    converted = convert(value)  # type: ignore[misc]
                except Mismatch as mismatch:
                    mismatch.path.append(key)
                    if key in within:
                        mismatch.path.append(within[key])
                    mismatch.struct = mismatch.struct or name
                    raise
                if converted is not value:
                    obj[key] = value = converted
            if not value and not stays:
                drop.append(key)
        for key in drop:
            del obj[key]
        for key, zero in always:
            if key not in obj:
                obj[key] = zero()

    return check


def _is_struct(of: FieldType) -> bool:
    return of.message is not None and not of.container


def _zero(item: Field) -> Callable[[], Any]:
    of = item.type
    if of.container or of.pointer or of.name in ("Time", "MicroTime"):
        return lambda: None
    if of.message is not None:
        struct = of.message

        def empty() -> Object:
            out: Object = {}
            normaliser(struct)(out)
            return out

        return empty
    return lambda: _ZERO_VALUES.get(of.name)


def _check(of: FieldType) -> tuple[type | None, Convert | None]:
    if of.container:
        return None, _container(of)
    convert = _element(of, of.go_name)
    return {"string": str, "bool": bool}.get(of.name), convert


def _container(of: FieldType, go_name: str = "") -> Convert:
    """`go_name`: of a list type that has a name."""
    plain = {"string": str, "bool": bool}.get(of.name)
    convert, go_type = _element(of, of.go_name), go_name or of.go_type
    # Of times, and of lists in a map, the zero value is null itself.
    zero: Any = {**_ZERO_VALUES, "bytes": ""}.get(of.name)

    def convert_map(value: Any) -> Any:
        if value.__class__ is not dict:
            raise Mismatch(value, go_type)
        for key, item in value.items():
            if item.__class__ is plain:
                continue
            if item is None and of.message is None:
                value[key] = zero
                continue
            converted = convert({} if item is None else item)
            if converted is not item:
                value[key] = converted
        return value

    def convert_list(value: Any) -> Any:
        if value.__class__ is not list:
            raise Mismatch(value, go_type)
        for index, item in enumerate(value):
            if item.__class__ is plain:
                continue
            if item is None:
                value[index] = {} if of.message is not None else zero
                item = value[index]
                if of.message is None:
                    continue
            converted = convert(item)
            if converted is not item:
                value[index] = converted
        # protobuf storage cannot distinguish a missing list from an empty one
        return value or None

    return convert_map if of.container == "map" else convert_list


def _element(of: FieldType, go_type: str) -> Convert:
    if of.message is not None:
        return _struct(of.message, go_type)
    match of.name:
        case "string":
            return _scalar(str, go_type)
        case "bool":
            return _scalar(bool, go_type)
        case "int32" | "int64":
            return _integer(_INT_LIMITS[of.name], go_type)
        case "double":
            return _number
        case "bytes":
            return check_bytes
        case "Time":
            return _timestamp(canonical_time)
        case "MicroTime":
            return _timestamp(canonical_micro_time)
        case "Quantity":
            return _quantity
        case "IntOrString":
            return _int_or_string
        case "Values":
            return _container(FieldType("string", "string", "list"), "v1.ExtraValue")
        case _:
            return _any


def check_own(of: FieldType, value: Any) -> None:
    """Has a type of OWN_DECODERS decode a value. Raises Mismatch."""
    _element(of, of.go_name)(value)


def _struct(message: Message, go_type: str) -> Convert:
    # Looked up at the first value and not now, because a message may contain itself.
    def convert(value: Any) -> Any:
        if value.__class__ is not dict:
            raise Mismatch(value, go_type)
        normaliser(message)(value)
        return value

    return convert


def _scalar(plain: type, go_type: str) -> Convert:
    def convert(value: Any) -> Any:
        if value.__class__ is not plain:
            raise Mismatch(value, go_type)
        return value

    return convert


def _integer(limit: int, go_type: str) -> Convert:
    def convert(value: Any) -> Any:
        if value.__class__ is not int or not -limit <= value < limit:
            raise Mismatch(value, go_type)
        return value

    return convert


def _number(value: Any) -> Any:
    if value.__class__ is not int and not isinstance(value, float):
        raise Mismatch(value, "float64")
    return value


def _any(value: Any) -> Any:
    return value


def _timestamp(parse: Callable[[str], str]) -> Convert:
    def convert(value: Any) -> Any:
        if value.__class__ is not str:
            raise Mismatch(value, "string", own=True)
        try:
            moment = parse(value)
        except ValueError as error:
            raise Mismatch(value, "", str(error), own=True) from None
        return None if moment in ZERO_TIMES else moment

    return convert


def _quantity(value: Any) -> Any:
    try:
        return canonical(value.strip() if value.__class__ is str else _number_text(value))
    except ValueError as error:
        raise Mismatch(value, "", str(error), own=True) from None


def _int_or_string(value: Any) -> Any:
    if value.__class__ is not str and (value.__class__ is not int or not -(1 << 31) <= value < 1 << 31):
        raise Mismatch(value, "int32", own=True)
    return value


def _number_text(value: Any) -> str:
    return str(value) if value.__class__ in (int, float, Beyond) else ""


def check_bytes(value: Any) -> Any:
    """A text of base64 in its canonical form, also of a list of bytes. Raises Mismatch."""
    if value.__class__ is not str:
        if value.__class__ is list and all(item.__class__ is int and 0 <= item < 256 for item in value):
            return b64encode(bytes(value)).decode()
        raise Mismatch(value, "[]uint8")
    text = value.replace("\n", "").replace("\r", "") if "\n" in value or "\r" in value else value
    try:
        if not text.isascii() or len(text) % 4 or _BASE64.fullmatch(text) is None:
            raise binascii.Error
        canonical_text = b64encode(b64decode(text)).decode()
    except binascii.Error:
        raise Mismatch(value, "", f"illegal base64 data at input byte {_bad_byte(text)}") from None
    return value if canonical_text == value else canonical_text


def _bad_byte(text: str) -> int:
    """The position where Go's decoder stops: at a character that is none of base64, or where padding is wrong or missing."""
    for start in range(0, len(text), 4):
        group = text[start : start + 4]
        for offset, character in enumerate(group):
            if _DIGIT.fullmatch(character):
                continue
            at = start + offset
            if character != "=" or offset < 2 or (offset == 2 and group[3:] not in ("", "=")):
                return at
            # What follows the padding is too much, and padding that is not whole ends too early.
            return len(text) if offset == 2 and len(group) == 3 else start + 4
        if len(group) < 4:
            return start
    return len(text)
