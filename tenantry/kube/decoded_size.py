"""Estimates the memory of a decoded object from its JSON, without visiting each value."""

from __future__ import annotations

_OBJECT_BYTES = 300
_LIST_BYTES = 100
_ITEM_BYTES = 130
"""Bytes for a field: its place in the dict, the object of its value without the text, and its name where no other field has the
same name."""


def decoded_bytes(encoded: bytes) -> int:
    """A lower bound for the memory that orjson needs, and about twice the memory for most objects. Structural characters inside
    strings count as structure."""
    objects, lists, items = encoded.count(b"{"), encoded.count(b"["), encoded.count(b",")
    # With one character beyond U+FFFF, Python stores the whole string with four bytes for each character.
    characters = len(encoded) * (1 if encoded.isascii() else 4)
    return _OBJECT_BYTES * objects + _LIST_BYTES * lists + _ITEM_BYTES * (items + 1) + characters
