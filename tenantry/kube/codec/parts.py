"""Decodes some parts of a JSON object, and skips all others, which takes a fraction of the time of decoding it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, NamedTuple, TypedDict

import msgspec

from tenantry.kube.codec import json_slices
from tenantry.kube.objects import Object

_DEPTH_MAX = 3
_LEVELS_MAX = 16
"""Making the decoder of a level takes 20 µs. What lies deeper, or in more objects, is decoded with what it is in."""


class _Level(NamedTuple):
    """Parts of one object: those that are decoded whole, and objects of which parts are decoded."""

    whole: tuple[str, ...]
    levels: tuple[tuple[str, _Level], ...]


class PartsDecoder:
    """`paths`: the names on the way to each part; the empty path is the whole object. `raw`: names of fields that are returned as
    msgspec.Raw."""

    __slots__ = ("_decode", "_level", "_others", "_raw", "_whole")

    def __init__(self, paths: Iterable[Sequence[str]], *, raw: Sequence[str] = ()) -> None:
        wanted = [tuple(path[:_DEPTH_MAX]) for path in paths]
        self._whole = () in wanted
        level = _level(wanted)
        self._level = level if _count(level) <= _LEVELS_MAX else _top(level)
        self._raw = raw
        self._decode = _decoder(self._level, raw, _Scalar)
        self._others: Sequence[tuple[Callable[[bytes], Object], _Level]] = ()

    def decode(self, text: bytes) -> Object:
        """The parts, in the objects that they are in. `text` is a JSON object as it is stored: no name stands in it twice, and
        it is not nested deeply."""
        if self._whole:
            whole: Object = json_slices.loads(text)
            return whole
        try:
            return self._decode(text)
        except msgspec.ValidationError:
            return self._decode_otherwise(text)

    def _decode_otherwise(self, text: bytes) -> Object:
        """Decodes an object with a list or an object as a part, or with another value where a path has an object."""
        if not self._others:
            self._others = [(_decoder(level, self._raw, msgspec.Raw), level) for level in (self._level, _top(self._level))]
        (decode, level), (decode_top, top) = self._others
        try:
            return _load(decode(text), level)
        except msgspec.ValidationError:
            return _load(decode_top(text), top)


_Scalar = str | bool | float | None | Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
"""Larger integers are numbers of another type for orjson."""


def _level(paths: Iterable[tuple[str, ...]]) -> _Level:
    below: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        if path:
            below.setdefault(path[0], []).append(path[1:])
    whole = tuple(name for name, rest in below.items() if () in rest)
    return _Level(whole, tuple((name, _level(rest)) for name, rest in below.items() if () not in rest))


def _top(level: _Level) -> _Level:
    return _Level((*level.whole, *(name for name, _ in level.levels)), ())


def _count(level: _Level) -> int:
    return 1 + sum(_count(below) for _, below in level.levels)


def _decoder(level: _Level, raw: Sequence[str], part: Any) -> Callable[[bytes], Object]:
    return msgspec.json.Decoder(_type(level, raw, part)).decode


def _type(level: _Level, raw: Sequence[str], part: Any) -> Any:
    fields: dict[str, Any] = {**dict.fromkeys(raw, msgspec.Raw), **dict.fromkeys(level.whole, part)}
    fields |= {name: _type(below, (), part) for name, below in level.levels}
    return TypedDict("Parts", fields, total=False)  # type: ignore[operator]


def _load(found: Object, level: _Level) -> Object:
    for name in level.whole:
        raw = found.get(name)
        if raw is not None:
            found[name] = json_slices.loads(bytes(raw))
    for name, below in level.levels:
        inner = found.get(name)
        if inner is not None:
            _load(inner, below)
    return found
