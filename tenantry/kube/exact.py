"""Encoded JSON that stays in memory."""

from __future__ import annotations


def exact(encoded: bytes) -> bytes:
    """The same bytes in a buffer of their own size, for what is kept. What orjson returns keeps the buffer that it was encoded
    in: 1 KiB at least, and up to eight times the length of a long text."""
    return bytes(memoryview(encoded))
