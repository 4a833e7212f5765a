"""How the C library gives memory back: what a burst of large requests took must not stay with the process.

glibc (mallopt(3)) raises the size from which a block has pages of its own whenever such a block is freed, up to 32 MiB. Bodies
then come from heaps, which shrink only from their ends, and each thread has heaps of its own.
"""

from __future__ import annotations

import ctypes
import logging

log = logging.getLogger(__name__)

MMAP_THRESHOLD_BYTES = 1 << 20
"""Blocks from here on are mapped, and unmapped when they are freed. Setting it ends its growth. It is above what a TLS connection
reads into, 256 KiB and a header for each read: fresh pages cost more than the request that they are for."""
TRIM_THRESHOLD_BYTES = 8 << 20
"""What each heap keeps at its end for what comes next, so that ordinary lists get no fresh pages either."""
ARENAS = 2
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def give_memory_back() -> None:
    """To be called once, before there are threads. Nothing where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    wanted = ((_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES), (_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES), (_M_ARENA_MAX, ARENAS))
    if not all(mallopt(parameter, value) for parameter, value in wanted):
        log.warning("the C library refused a setting of its allocator; large requests may leave memory behind")
