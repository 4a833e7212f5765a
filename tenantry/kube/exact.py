"""A memory-saving copy of encoded JSON that is kept."""

from __future__ import annotations


def exact(encoded: bytes) -> bytes:
    """The same bytes in a buffer of exactly their size. The bytes that orjson returns keep the encoder's buffer: at least 1 KiB,
    and up to eight times the length of a long text."""
    return bytes(memoryview(encoded))
