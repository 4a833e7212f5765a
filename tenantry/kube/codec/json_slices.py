"""Decodes a long JSON text in slices, between which another thread can run.

A decoder makes 200,000 values in one call of up to 50 ms, which cannot be interrupted. Here the text is cut at commas. Each slice
is decoded as a text of its own: in front of it are the containers that were open at its beginning. After it are a mark and the
ends of the containers that are open at its end. Then the values that a slice adds to an open container are moved there.

    {"a":[1,2,3],"b":4}   cut at the second comma:   {"a":[1,2 ,"<mark>"]}   and   {"<link>":[ 3],"b":4}
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import orjson

from tenantry.kube.codec.json_size import values_max

SLICE_BYTES = 1 << 15
"""The bytes of ten thousand empty objects, which take a millisecond."""
AT_ONCE = 20_000
"""Values that one call decodes, in about 5 ms."""
_DEPTH_MAX = 1_100
"""More than any decoder accepts."""

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_string = re.compile(_STRING, re.DOTALL)
_whole_strings = re.compile(rb'[^"]*+(?:' + _STRING + rb'[^"]*+)*+', re.DOTALL)
_to_comma = re.compile(rb'[^",]*+')
_to_end = re.compile(rb"[ \t\r\n]*+[\]}]")
_unbalanced = re.compile(rb"([\]}]*)([\[{]*)")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BRACE, _COMMA = ord("{"), ord(",")
_CLOSING = {ord("{"): ord("}"), ord("["): ord("]")}

Parse = Callable[[bytes], Any]


def loads(body: bytes, parse: Parse = orjson.loads, *, pairs: bool = False) -> Any:
    """The value that `parse` makes of the whole text. It is decoded in one call where it has few values, or in the main thread,
    where no other part of the program needs the interpreter meanwhile. `pairs`: `parse` makes a list of key-value pairs from an
    object.

    Raises json.JSONDecodeError where `parse` does; its position has no meaning.
    """
    if len(body) <= 2 * SLICE_BYTES or threading.current_thread() is threading.main_thread():
        return parse(body)
    return in_slices(body, parse, pairs=pairs) if values_max(body) > AT_ONCE else parse(body)


def in_slices(body: bytes, parse: Parse = orjson.loads, *, pairs: bool = False) -> Any:
    """`loads`, always in slices."""
    decoding = _Decoding(parse, pairs)
    start, size = 0, len(body)
    while (end := _cut(body, start)) < size:
        decoding.slice(body[start:end])
        start = end + 1
    return decoding.last(body[start:])


@dataclass(slots=True, eq=False)
class _Decoding:
    """The state of decoding one text up to a comma. `kinds` are the brackets of the containers that are open there; `values` are
    the values of these containers."""

    parse: Parse
    pairs: bool
    kinds: list[int] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    root: Any = None
    link: str = field(default_factory=lambda: token_hex(8))
    """The key of the open container in an object. It is random, so that no client can use it."""
    mark: str = field(default_factory=lambda: token_hex(8))
    """The last item of the innermost container that a slice leaves open."""

    def slice(self, text: bytes) -> None:
        """Decodes the text up to the next comma. Raises json.JSONDecodeError."""
        closed, opened = _brackets(text)
        kept = len(self.kinds) - len(closed)
        if kept < 0 or [_CLOSING[kind] for kind in reversed(self.kinds[kept:])] != list(closed):
            raise _invalid()
        kinds = [*self.kinds[:kept], *opened]
        if not kinds:
            raise _invalid()
        parts = self._parts(text + self._end(kinds))
        found = self._marked(self._inside(parts[kept - 1]) if kept else [self.root], len(opened)) if opened else []
        innermost = found[-1] if found else parts[kept - 1]
        if isinstance(innermost, dict):
            del innermost[self.mark]
        else:
            innermost.pop()
        self._move(parts)
        self.kinds, self.values = kinds, [*self.values[:kept], *found]

    def last(self, text: bytes) -> Any:
        """Decodes the rest and returns the whole value. Raises json.JSONDecodeError."""
        self._move(self._parts(text))
        return self.root

    def _parts(self, text: bytes) -> list[Any]:
        """Decodes a slice. Returns the values that stand for the open containers. The first slice gives the root."""
        first = [b'{"%b":' % self.link.encode() if kind == _BRACE else b"[" for kind in self.kinds]
        if self.kinds:
            first[-1] = bytes(self.kinds[-1:])
        value = self.parse(b"".join((*first, text)))
        if not self.kinds:
            self.root = value
            return []
        parts = [value]
        for kind in self.kinds[:-1]:
            part = parts[-1]
            parts.append((part[0][1] if self.pairs else part[self.link]) if kind == _BRACE else part[0])
        return parts

    def _end(self, kinds: list[int]) -> bytes:
        mark = b',"%b":0' if kinds[-1] == _BRACE else b',"%b"'
        return mark % self.mark.encode() + bytes(_CLOSING[kind] for kind in reversed(kinds))

    def _inside(self, container: Any) -> Iterator[Any]:
        """The values in a container that may be the open container, likely ones first. It is the last value, except in an object
        with duplicate keys: there the open value may have an earlier place."""
        if isinstance(container, dict):
            yield from reversed(container.values())
        elif container:
            last = container[-1]
            yield last[1] if type(last) is tuple else last

    def _marked(self, candidates: Iterable[Any], levels: int) -> list[Any]:
        """The containers on the way to the mark, one for each open level."""
        path: list[Any] = []
        waiting = [iter(candidates)]
        while waiting:
            for each in waiting[-1]:
                if not isinstance(each, dict | list):
                    continue
                path.append(each)
                if len(path) < levels:
                    waiting.append(self._inside(each))
                    break
                if self._has_mark(each):
                    return path
                path.pop()
            else:
                waiting.pop()
                if path:
                    path.pop()
        raise _invalid()

    def _has_mark(self, container: Any) -> bool:
        if isinstance(container, dict):
            return self.mark in container
        last = container[-1] if container else None
        return bool((last[0] if type(last) is tuple else last) == self.mark)

    def _move(self, parts: list[Any]) -> None:
        """Moves the values of a slice into the containers that were open."""
        innermost = len(parts) - 1
        for place, (value, part) in enumerate(zip(self.values, parts, strict=True)):
            if isinstance(value, dict):
                if place < innermost:
                    del part[self.link]
                value.update(part)
            else:
                value.extend(part[1:] if place < innermost else part)


def _cut(body: bytes, start: int) -> int:
    """The place of a comma outside of strings after about one slice, or the end. Raises json.JSONDecodeError."""
    size, target = len(body), start + SLICE_BYTES
    if target >= size:
        return size
    at = _end_of(_whole_strings, body, start, target)
    if at < target:
        at = _end_of(_string, body, at, size)
    while True:
        at = _end_of(_to_comma, body, at, size)
        if at == size:
            return size
        if body[at] == _COMMA:
            break
        at = _end_of(_string, body, at, size)
    if _to_end.match(body, at + 1):
        raise _invalid()
    return at


def _end_of(pattern: re.Pattern[bytes], body: bytes, start: int, end: int) -> int:
    found = pattern.match(body, start, end)
    if found is None:
        raise _invalid()
    return found.end()


def _brackets(text: bytes) -> tuple[bytes, bytes]:
    """The brackets without a partner in the text: closing ones, and opening ones. Raises json.JSONDecodeError."""
    # Every second piece between quotes is outside of strings.
    pieces = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
    left = b"".join(pieces[::2]).translate(None, _NO_BRACKETS)
    for _ in range(_DEPTH_MAX):
        size = len(left)
        left = left.replace(b"{}", b"").replace(b"[]", b"")
        if len(left) == size:
            break
    found = _unbalanced.fullmatch(left)
    if found is None:
        raise _invalid()
    return found[1], found[2]


def _invalid() -> json.JSONDecodeError:
    return json.JSONDecodeError("invalid JSON", "", 0)
