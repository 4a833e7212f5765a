"""Scans chunked bodies (RFC 9112 §7.1): finds where a body may be cut and where it ends."""

from __future__ import annotations

import re

_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?")
_LONGEST_LINE_BYTES = 4096
SMALL_CHUNK_BYTES = 1 << 10
"""What reading a chunk costs beside its bytes is much for a smaller one."""


class BadChunk(ValueError):
    """The bytes are not a chunked body."""


class ChunkScanner:
    """Scans a chunked body piece by piece, and returns the bytes that can be passed on unchanged.

    `between`: the bytes passed on so far end with a complete chunk. `done`: the last chunk was received. It is passed on without
    trailers, because no client uses them.
    """

    __slots__ = ("_chunks_left", "_left", "_line", "_trailers", "behind", "done")

    def __init__(self, chunks_max: int | None = None) -> None:
        """`chunks_max`: a body with more chunks of less than `SMALL_CHUNK_BYTES` (or more lines behind it) is bad."""
        self._chunks_left = chunks_max
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
        # Within trailers nothing of a chunk is left to pass on.
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
            if self._chunks_left is not None:
                self._chunks_left -= 1
                if self._chunks_left < 0:
                    raise BadChunk("there are too many chunks")
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
            if length >= SMALL_CHUNK_BYTES and self._chunks_left is not None:
                self._chunks_left += 1
            # The size line, the bytes of the chunk, and the line end after them.
            whole = end + 2 + length + 2
            at = min(whole, size)
            self._left = whole - at
            passed = at
        return data[:passed] if passed < size else data


class ChunkPayload:
    """Takes the payload out of a chunked body, piece by piece, as `ChunkScanner` passes it on."""

    __slots__ = ("_left", "_line", "_skipped")

    def __init__(self) -> None:
        self._left = 0
        self._line = b""
        self._skipped = 0
        """How many bytes of the line end after a chunk are to come."""

    def feed(self, data: bytes) -> bytes:
        """The payload in a piece. Raises BadChunk."""
        if self._line:
            data, self._line = self._line + data, b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            if self._left:
                taken = min(self._left, size - at)
                pieces.append(data[at : at + taken])
                self._left -= taken
            elif self._skipped:
                taken = min(self._skipped, size - at)
                self._skipped -= taken
            else:
                end = data.find(b"\r\n", at)
                if end < 0:
                    self._line = data[at:]
                    break
                self._left, self._skipped = _chunk_size(data[at:end]), 2
                taken = end + 2 - at
            at += taken
        return b"".join(pieces)


def _chunk_size(line: bytes) -> int:
    found = _SIZE.fullmatch(line)
    if found is None:
        raise BadChunk("a chunk's size is not a number")
    return int(found[1], 16)


def unchunked(body: bytes) -> bytes:
    """The payload of a complete chunked body without trailers, as `ChunkScanner` passes it on. Raises ValueError."""
    pieces = []
    at = 0
    while length := _chunk_size(body[at : (end := body.index(b"\r\n", at))]):
        pieces.append(body[end + 2 : end + 2 + length])
        at = end + 2 + length + 2
    return b"".join(pieces)
