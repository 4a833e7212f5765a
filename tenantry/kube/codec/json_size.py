"""How many values a JSON text holds, before anything is made of it.

A value takes the decoder 50 to 200 ns in which no other thread has the interpreter, and up to 200 bytes of memory. What a body
costs is decided by their number and not by its bytes: 3 MiB of text are decoded in 2 ms, 3 MiB of `{"a":0}` in 75 ms.
"""

from __future__ import annotations

from typing import Any

from tenantry.kube.codec.byte_count import count_byte

MAX_VALUES = 200_000
"""Objects, lists, strings, numbers and literals of one body or object; keys do not count. A MiB of a custom
resource definition holds 33,000 with a sentence for each property and 50,000 with a few words, so that any of 3 MiB
passes."""

_CHUNK_BYTES = 1 << 16
_OPENING_AND_COMMA = (b",", b"{", b"[")


def has_too_many(body: bytes) -> bool:
    """Whether a JSON text holds more than MAX_VALUES."""
    return values_max(body) > MAX_VALUES and _outside_of_strings(body) > MAX_VALUES


def values_max(body: bytes) -> int:
    """How many a JSON text holds at most, strings counted as if they were JSON."""
    # A value is the first of all, or comes after a comma, or is the first in a container.
    return sum(count_byte(body, byte) for byte in _OPENING_AND_COMMA)


def _outside_of_strings(body: bytes) -> int:
    """The same bytes, counted outside of strings. In chunks, so that no step keeps the interpreter for long."""
    found, inside, start = 0, 0, 0
    while start < len(body) and found <= MAX_VALUES:
        end = start + _CHUNK_BYTES
        # An escape is not torn apart: a chunk ends behind a byte that is no backslash, or behind pairs of them alone.
        while end < len(body) and body[end - 1] == 0x5C and (end - start - len(body[start:end].rstrip(b"\\"))) % 2:
            end += 1
        pieces = body[start:end].replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        # Every other piece is outside of strings.
        outside = b"".join(pieces[inside::2])
        found += sum(outside.count(byte) for byte in _OPENING_AND_COMMA)
        inside = (inside + len(pieces) - 1) % 2
        start = end
    return found


def holds_too_many(value: Any) -> bool:
    """The same for a value that was not JSON."""
    found, level = 1, [value]
    while level:
        item = level.pop()
        if isinstance(item, dict):
            found += len(item)
            level.extend(each for each in item.values() if isinstance(each, dict | list))
        elif isinstance(item, list):
            found += len(item)
            level.extend(each for each in item if isinstance(each, dict | list))
        if found > MAX_VALUES:
            return True
    return False
