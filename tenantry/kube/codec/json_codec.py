"""JSON bodies. They are decoded by orjson; errors have the texts of Go's encoding/json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection
from typing import Any

import orjson

from tenantry.kube.codec import json_slices
from tenantry.kube.codec.byte_count import count_byte
from tenantry.kube.codec.json_syntax import MAX_DEPTH, syntax_error
from tenantry.kube.field_paths import Path, ReportedPaths, path_text
from tenantry.kube.status import StatusError, bad_request

__all__ = ["MAX_DEPTH", "decode", "encode", "syntax_error", "unrecognized"]

_PREVIEW_BYTES = 30
_INTEGER_DIGITS = 300
_SURROGATE = re.compile("[\ud800-\udfff]")


def decode(body: bytes, *, duplicates: bool = False, kind: str = "") -> tuple[Any, list[str]]:
    """The value of a body. With `duplicates`, also the paths of the first hundred duplicate keys (`data.a`, as upstream prints
    them).

    The last of equal keys wins. Invalid UTF-8 becomes U+FFFD, as in Go. `kind` is the Kind that the URL names; it is part of the
    text of the StatusError 400 for invalid JSON.
    """
    try:
        value = json_slices.loads(body)
    except json.JSONDecodeError:
        body, value = _second_chance(body, kind)
    # Each key has exactly one colon outside of strings. Colons inside strings are the same in both texts, unless one is
    # escaped. So equal counts mean that no key was lost.
    if duplicates and ((b"\\" in body and b"\\u003" in body) or count_byte(body, b":") != _colons(value)):
        return value, _duplicates(body)
    return value, []


def _colons(value: Any) -> int:
    try:
        return count_byte(orjson.dumps(value), b":")
    except TypeError:
        # orjson reads deeper nesting than it writes; callers refuse it.
        return -1


def strict_problems(body: bytes, unknown: Collection[str]) -> list[str]:
    """What strict decoding of a body into a Go struct says of duplicate and `unknown` fields, in the order of the document, as
    sigs.k8s.io/json does. `unknown`: the paths of those. What is inside an unknown field counts for nothing."""
    texts: dict[str, None] = {}
    value = _pairs(body)
    if value is not None:
        _note(value, None, frozenset(unknown), texts)
    return list(texts)[: ReportedPaths.MAX]


def encode(value: Any) -> bytes:
    """Compact JSON."""
    return orjson.dumps(value)


def unrecognized(kind: str, problem: str, body: bytes) -> StatusError:
    """400 for a body whose kind and version could not be read."""
    must = f" (must be of type {kind})" if kind else ""
    return bad_request(f"the object provided is unrecognized{must}: {problem} ({_preview(body)})")


def _second_chance(body: bytes, kind: str) -> tuple[bytes, Any]:
    repaired = body.decode("utf-8", "replace").encode()
    problem = syntax_error(repaired) if repaired != body and not body.startswith(b"\xef\xbb\xbf") else syntax_error(body)
    if not problem:
        try:
            return repaired, json_slices.loads(repaired)
        except json.JSONDecodeError as error:
            # Go accepts lone surrogates and replaces them; orjson refuses them.
            problem = str(error)
            try:
                whole = json.dumps(json_slices.loads(repaired, _with_numbers(_finite)), ensure_ascii=False)
                text = _SURROGATE.sub("\ufffd", whole).encode()
                return text, json_slices.loads(text)
            except _Infinite as infinite:
                problem = f"couldn't get version/kind; json parse error: {problem}"
                raise _out_of_range(repaired, kind, str(infinite)) or unrecognized(kind, problem, body) from None
            except (ValueError, RecursionError):
                pass
    raise unrecognized(kind, f"couldn't get version/kind; json parse error: {problem}", body)


class Literal(float):
    """A number with a fraction or an exponent, which is shown as it was written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Literal:
        self = super().__new__(cls, text)
        self.text = text
        return self

    def __str__(self) -> str:
        return self.text


def with_literals(body: bytes) -> Any:
    """The value of a body that `decode` has read, with its numbers as they are written, for errors. None where Python's parser
    does not take it."""
    try:
        return json_slices.loads(body, _with_numbers(Literal))
    except (ValueError, RecursionError):
        return None


class Beyond(str):
    """The digits of a number beyond float64."""

    __slots__ = ()


def holds_beyond(value: Any) -> bool:
    """Whether a value holds a `Beyond`."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if type(each) is Beyond:
            return True
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
    return False


class OutOfRange(StatusError):
    """400 for a number beyond float64. `value`: what was decoded, with `Beyond` in its place. A type that does not read the
    number there says something else, or nothing."""

    def __init__(self, message: str, number: str, value: Any) -> None:
        refusal = bad_request(message)
        super().__init__(refusal.code, refusal.reason, message)
        self.number = number
        self.value = value


class _Infinite(ValueError):
    """A number beyond float64. The text is the number's."""


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Infinite(text)
    return number


def _kept(text: str) -> float | Beyond:
    number = float(text)
    return Beyond(text) if math.isinf(number) else number


def _with_numbers(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    """`read` gets what is no integer, and integers of so many digits that float64 may not have them."""
    return lambda part: json.loads(
        part, parse_float=read, parse_int=lambda text: int(text) if len(text) <= _INTEGER_DIGITS else read(text)
    )


def _out_of_range(body: bytes, kind: str, number: str) -> StatusError | None:
    """The refusal of a number beyond float64 in an object of this kind, or in a body of any; None for another body."""
    try:
        value = json_slices.loads(body, _with_numbers(_kept))
    except (ValueError, RecursionError):
        # Python's parser does not take nesting that orjson allows.
        return None
    why = f"json: cannot unmarshal number {number} into Go value of type float64"
    if not kind:
        return OutOfRange(why, number, value)
    if not isinstance(value, dict) or value.get("kind") != kind:
        return None
    version = str(value.get("apiVersion")).rpartition("/")[2]
    return OutOfRange(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}', number, value)


def _preview(body: bytes) -> str:
    if not body:
        return "<empty>"
    more = " ..." if len(body) > _PREVIEW_BYTES else ""
    head = body[:_PREVIEW_BYTES]
    return (head.decode("utf-8", "replace") if body[:1] == b"{" else head.hex()) + more


class _Pairs(list[tuple[str, Any]]):
    """An object as a list of key-value pairs, so that duplicate keys are kept."""


def _duplicates(body: bytes) -> list[str]:
    found = ReportedPaths()
    value = _pairs(body)
    if value is not None:
        _collect(value, None, found)
    return found.paths


def _pairs(body: bytes) -> list[Any] | None:
    """The value of a body with all its keys. None for one that is neither an object nor a list."""
    try:
        value = json_slices.loads(body, lambda part: json.loads(part, object_pairs_hook=_Pairs), pairs=True)
    except RecursionError:
        # orjson allows slightly deeper nesting than Python's parser. No Kubernetes object is so deep.
        return None
    return value if isinstance(value, list) else None


def _collect(value: Any, path: Path, found: ReportedPaths) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            if key in seen:
                found.add((path, key))
            seen.add(key)
            if isinstance(item, list):
                _collect(item, (path, key), found)
    else:
        for index, item in enumerate(value):
            if isinstance(item, list):
                _collect(item, (path, index), found)


def _note(value: Any, path: Path, unknown: Collection[str], texts: dict[str, None]) -> None:
    if isinstance(value, _Pairs):
        seen: set[str] = set()
        for key, item in value:
            here = (path, key)
            text = path_text(here)
            if text in unknown:
                texts[f'unknown field "{text}"'] = None
                continue
            if key in seen:
                texts[f'duplicate field "{text}"'] = None
            seen.add(key)
            if isinstance(item, list):
                _note(item, here, unknown, texts)
    else:
        for index, item in enumerate(value):
            if isinstance(item, list):
                _note(item, (path, index), unknown, texts)
