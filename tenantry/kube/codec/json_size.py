"""Counts the values in a JSON text before it is decoded.

The decoder needs 50 to 200 ns for a value, in which no other thread can run, and up to 200 bytes of memory. So the cost of a body
depends on the number of its values and not on its bytes: 3 MiB of text are decoded in 2 ms, 3 MiB of `{"a":0}` in 75 ms.
"""

from __future__ import annotations

from typing import Any

from tenantry.kube.codec.byte_count import count_byte
from tenantry.kube.codec.json_syntax import MAX_STORED_DEPTH

MAX_VALUES = 200_000
"""The most values of one body or object: objects, lists, strings, numbers and literals; keys do not count. One MiB of a custom
resource definition has 33,000 values with a sentence for each property, and 50,000 with a few words. So a definition of 3 MiB is
accepted."""

_CHUNK_BYTES = 1 << 16
_OPENING_AND_COMMA = (b",", b"{", b"[")
_CONTAINERS = (dict, list)


def has_too_many(body: bytes) -> bool:
    """Whether a JSON text has more than MAX_VALUES values."""
    return len(body) > MAX_VALUES and values_max(body) > MAX_VALUES and _outside_of_strings(body) > MAX_VALUES


def values_max(body: bytes) -> int:
    """An upper bound for the number of values in a JSON text. Strings are counted as if they were JSON."""
    # Each value is the root, or follows a comma, or is the first in a container.
    return sum(count_byte(body, byte) for byte in _OPENING_AND_COMMA)


def _outside_of_strings(body: bytes) -> int:
    """How often these bytes occur outside of strings. Works in chunks, so that no step holds the interpreter lock for long."""
    found, inside, start = 0, 0, 0
    while start < len(body) and found <= MAX_VALUES:
        end = start + _CHUNK_BYTES
        # An escape is not split: a chunk ends after a byte that is not a backslash, or after an even number of backslashes.
        while end < len(body) and body[end - 1] == 0x5C and (end - start - len(body[start:end].rstrip(b"\\"))) % 2:
            end += 1
        pieces = body[start:end].replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        # Every second piece is outside of strings.
        outside = b"".join(pieces[inside::2])
        found += sum(outside.count(byte) for byte in _OPENING_AND_COMMA)
        inside = (inside + len(pieces) - 1) % 2
        start = end
    return found


def holds_too_many(value: Any) -> bool:
    """`has_too_many`, for a decoded value that did not come from JSON."""
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


def nests_too_deeply(value: Any) -> bool:
    """Whether a decoded value has more levels of containers than MAX_STORED_DEPTH. Writing it may fail, and so may what calls
    itself for each level."""
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(MAX_STORED_DEPTH):
        level = [
            item
            for container in level
            for item in (container.values() if isinstance(container, dict) else container)
            if isinstance(item, _CONTAINERS)
        ]
        if not level:
            return False
    return True
