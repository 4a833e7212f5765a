"""Validation errors with the texts of Go's field.Error (k8s.io/apimachinery/pkg/util/validation/field)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import orjson

from tenantry.kube.go_text import plain, quote
from tenantry.kube.numbers import in_go_form
from tenantry.kube.status import CAUSES_MAX, FieldError, cut

IMMUTABLE = "field is immutable"
VALUE_CHARACTERS = 2048
"""Characters of a value that a message shows. Upstream shows the whole value in each error."""
_SUPPORTED_MAX = 100
_HTML = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
"""What Go escapes in the JSON of lists and objects, but not in a text alone."""
_T = TypeVar("_T")
_WHOLE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


_IN_HTML = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


def show(value: Any) -> str:
    """A value as upstream prints it in a message: strings and numbers as Go does, lists and objects as compact JSON. It reads
    only as much of the value as it shows."""
    if isinstance(value, str):
        return quote(cut(value, VALUE_CHARACTERS))
    if isinstance(value, float):
        return plain(value)
    if not isinstance(value, dict | list):
        return _WHOLE.encode(value)
    text = ""
    for part in _parts(value):
        text += part.translate(_HTML)
        if len(text) > VALUE_CHARACTERS:
            return cut(text, VALUE_CHARACTERS)
    return text


def _parts(value: Any) -> Iterator[str]:
    """Yields the JSON of a value in pieces, so that the caller can stop early. Its recursion is bounded by the depth of
    bodies."""
    if isinstance(value, dict):
        lead = "{"
        for key, below in value.items():
            yield f"{lead}{_escaped(str(key))}:"
            yield from _parts(below)
            lead = ","
        yield "}" if value else "{}"
    elif isinstance(value, list | tuple):
        lead = "["
        for below in value:
            yield lead
            yield from _parts(below)
            lead = ","
        yield "]" if value else "[]"
    else:
        yield _escaped(value) if isinstance(value, str) else in_go_form(b"[%b]" % orjson.dumps(value))[1:-1].decode()


def _escaped(text: str) -> str:
    """A text inside of a list or an object, which Go encodes for use in HTML. A text alone is quoted otherwise."""
    return _WHOLE.encode(cut(text, VALUE_CHARACTERS)).translate(_IN_HTML)


def while_few(errors: list[FieldError], items: Iterable[_T]) -> Iterator[_T]:
    """Yields items until there are as many errors as an answer shows. For every loop over a client's data that may find an error
    in each item."""
    for item in items:
        if len(errors) >= CAUSES_MAX:
            return
        yield item


def below(path: str, part: str) -> str:
    """The path of a part (`.name`, `[0]`, `.properties[name]`), of bounded length, because every field of a deep object has
    one."""
    return cut(path + part, VALUE_CHARACTERS) if len(path) < VALUE_CHARACTERS else path


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError("Invalid", path, f"Invalid value: {show(value)}: {detail}")


def required(path: str, detail: str = "") -> FieldError:
    return FieldError("Required", path, f"Required value: {detail}" if detail else "Required value")


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError("Forbidden", path, f"Forbidden: {detail}")


def duplicate(path: str, value: Any) -> FieldError:
    return FieldError("Duplicate", path, f"Duplicate value: {show(value)}")


def not_supported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    """NotSupported. `supported` are the allowed values, in the order of the message."""
    return FieldError("NotSupported", path, f"Unsupported value: {show(value)}: supported values: {supported_text(supported)}")


def supported_text(supported: Iterable[str]) -> str:
    """The allowed values, as many as a message shows."""
    return cut(", ".join(show(s) for s in islice(supported, _SUPPORTED_MAX)), VALUE_CHARACTERS)


def internal(path: str, detail: str) -> FieldError:
    return FieldError("Internal", path, f"Internal error: {detail}")


def counted(number: int, noun: str) -> str:
    """`1 item`, `2 items`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def too_long(path: str, limit_bytes: int) -> FieldError:
    return FieldError("TooLong", path, f"Too long: may not be more than {limit_bytes} bytes")
