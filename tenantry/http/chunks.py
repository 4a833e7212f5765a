"""Reads chunked bodies (RFC 9112 §7.1): where one may be cut, and where it ends."""

from __future__ import annotations

import re

_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?")
_LONGEST_LINE_BYTES = 4096


class BadChunk(ValueError):
    """The bytes are no chunked body."""


class ChunkScanner:
    """Is given a chunked body piece by piece, and says how much of it can be passed on as it is.

    `between`: what was passed on so far ends with a whole chunk. `done`: the last chunk has come. That one is passed on without
    trailers, which no client of ours uses.
    """

    __slots__ = ("_left", "_line", "_trailers", "behind", "done")

    def __init__(self) -> None:
        self.done = False
        self.behind = b""
        """The bytes after the end of the body."""
        self._left = 0
        self._line = b""
        self._trailers = False

    @property
    def between(self) -> bool:
        return self._left == 0

    def feed(self, data: bytes) -> bytes:
        """The bytes that can be passed on now. Raises BadChunk."""
        if self._line:
            data, self._line = self._line + data, b""
        size = len(data)
        # A trailer's beginning was held back with nothing of the chunks before it.
        at = 0 if self._trailers else min(self._left, size)
        self._left -= at
        passed = at
        while not self._left and at < size:
            end = data.find(b"\r\n", at)
            if end < 0:
                if size - at > _LONGEST_LINE_BYTES:
                    raise BadChunk("a chunk's size is too long")
                self._line = data[at:]
                break
            if self._trailers:
                if end == at:
                    self.done = True
                    self.behind = data[end + 2 :]
                    return data[:passed] + b"0\r\n\r\n"
                at = end + 2
                continue
            length = _chunk_size(data[at:end])
            if length == 0:
                self._trailers = True
                at = end + 2
                continue
            # The chunk's bytes and the line end behind them.
            whole = end + 2 + length + 2
            at = min(whole, size)
            self._left = whole - at
            passed = at
        return data[:passed] if passed < size else data


def _chunk_size(line: bytes) -> int:
    found = _SIZE.fullmatch(line)
    if found is None:
        raise BadChunk("a chunk's size is no number")
    return int(found[1], 16)


def unchunked(body: bytes) -> bytes:
    """The payload of a whole chunked body without trailers, as `ChunkScanner` passes it on."""
    pieces = []
    at = 0
    while length := _chunk_size(body[at : (end := body.index(b"\r\n", at))]):
        pieces.append(body[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
    return b"".join(pieces)
