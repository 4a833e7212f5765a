"""PEM blocks (RFC 7468), read as Go's `encoding/pem` reads them: text around blocks and damaged blocks are skipped.

The time is linear in the size of the data, whatever it holds.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass

_BEGIN, _END, _DASHES = b"-----BEGIN ", b"\n-----END ", b"-----"
_BLANKS = b" \t"
_NEWLINES = b"\r\n"


@dataclass(frozen=True, slots=True)
class Block:
    """One block: `type` is the text after BEGIN, `has_headers` whether lines `key: value` come first, `data` what is in it."""

    type: str
    has_headers: bool
    data: bytes


def blocks(text: bytes) -> Iterator[Block]:
    """The blocks of a text, in order."""
    reader = _Reader(text)
    while (block := reader.next()) is not None:
        yield block


def first_block(text: bytes) -> Block | None:
    return _Reader(text).next()


def encode(block_type: str, data: bytes) -> bytes:
    """A block with lines of 64 characters."""
    encoded = binascii.b2a_base64(data, newline=False)
    lines = b"".join(encoded[i : i + 64] + b"\n" for i in range(0, len(encoded), 64))
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (block_type.encode(), lines, block_type.encode())


class _Reader:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._position = 0
        self._end = -1
        """The first end line at or after the position where one was looked for last."""

    def next(self) -> Block | None:
        text = self._text
        while True:
            start = self._begin()
            if start < 0:
                return None
            line_end = _line_end(text, start)
            self._position = _after(text, line_end)
            line = text[start:line_end].rstrip(b" \t\r")
            if not line.endswith(_DASHES):
                continue
            block = self._body(line[: -len(_DASHES)])
            if block is not None:
                return block

    def _begin(self) -> int:
        """Where the type of the next block begins."""
        text, at = self._text, self._position
        while True:
            found = text.find(_BEGIN, at)
            if found < 0:
                return -1
            if found == self._position or text[found - 1 : found] == b"\n":
                return found + len(_BEGIN)
            at = found + 1

    def _body(self, block_type: bytes) -> Block | None:
        """The block whose first line was read; None where it is damaged, and reading goes on after its headers."""
        text, at, has_headers = self._text, self._position, False
        while b":" in text[at : (line_end := _line_end(text, at))]:
            has_headers, at = True, _after(text, line_end)
        self._position = at
        if not has_headers and text.startswith(_END[1:], at):
            end, after = at, at + len(_END) - 1
        else:
            if self._end < at:
                self._end = text.find(_END, at)
                if self._end < 0:
                    self._position = len(text)
                    return None
            end, after = self._end, self._end + len(_END)
        closing = block_type + _DASHES
        # Dashes begin another block. They are looked for first, because many blocks may have one end.
        if text.find(_DASHES, at, end) >= 0 or not text.startswith(closing, after):
            return None
        line_end = _line_end(text, after)
        if text[after + len(closing) : line_end].strip(b" \t\r"):
            return None
        try:
            data = b64decode(text[at:end].translate(None, _BLANKS + _NEWLINES), validate=True)
        except binascii.Error:
            return None
        self._position = _after(text, line_end)
        return Block(block_type.decode("utf-8", "replace"), has_headers, data)


def _line_end(text: bytes, at: int) -> int:
    found = text.find(b"\n", at)
    return len(text) if found < 0 else found


def _after(text: bytes, line_end: int) -> int:
    return min(line_end + 1, len(text))
