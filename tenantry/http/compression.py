"""gzip for large answers, with ISA-L. It is several times faster than zlib, with about the same ratio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from isal import igzip, isal_zlib

_FASTEST = 0
_AT_ONCE_BYTES = 2 << 20
"""Up to this size the pieces are joined. One copy costs less than a stream's buffers and taking the GIL again after each
piece."""
_GZIP = 31
"""zlib's `wbits` for the largest window with a gzip header."""


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header allows gzip: it names `gzip` or `*` with a weight above zero (RFC 9110 §12.5.3)."""
    for part in accept_encoding.lower().split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip() in ("gzip", "*"):
            weight = parameters.strip().removeprefix("q=")
            return not parameters.strip() or weight.strip("0.") != ""
    return False


async def compress(pieces: Sequence[bytes], in_thread_from_bytes: int) -> Sequence[bytes]:
    """The gzipped body. Bodies of `in_thread_from_bytes` or more are compressed in a thread (ISA-L releases the GIL)."""
    if sum(map(len, pieces)) < in_thread_from_bytes:
        return _compressed(pieces)
    return await asyncio.to_thread(_compressed, pieces)


def _compressed(pieces: Sequence[bytes]) -> Sequence[bytes]:
    if len(pieces) == 1 or sum(map(len, pieces)) <= _AT_ONCE_BYTES:
        return (igzip.compress(b"".join(pieces), _FASTEST),)
    stream = isal_zlib.compressobj(_FASTEST, wbits=_GZIP)
    return [*filter(None, map(stream.compress, pieces)), stream.flush()]
