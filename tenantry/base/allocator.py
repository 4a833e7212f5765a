"""How the C library gives memory back: what a burst of large requests took must not stay with the process.

glibc (mallopt(3)) raises the size from which a block has pages of its own whenever such a block is freed, up to 32 MiB. Bodies
then come from heaps, which shrink only from their ends, and each thread has heaps of its own. What is free inside of a heap goes
back when it is asked to (malloc_trim(3)).
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import resource
from collections.abc import Callable
from pathlib import Path

from tenantry.base import garbage

log = logging.getLogger(__name__)

MMAP_THRESHOLD_BYTES = 4 << 20
"""Blocks from here on are mapped, and unmapped when they are freed. Setting it ends its growth. It is above what a TLS connection
reads into, 256 KiB and a header for each read, above the pieces of lists and above bodies: fresh pages cost more than what they
are for, and what those leave in the heaps goes back after the burst."""
TRIM_THRESHOLD_BYTES = 32 << 20
"""What each heap keeps at its end for what comes next, so that ordinary lists get no fresh pages either."""
ARENAS = 2
LARGE_BYTES = 64 << 10
"""Smaller requests and answers leave nothing behind that is not used again at once."""
WORTH_BYTES = 1 << 20
"""So many bytes of large requests and answers may leave more behind than a look at all heaps is worth: the values made of a body
take ten to twenty times as much. What was less is looked for after the next burst."""
QUIET_SECONDS = 20.0
"""A burst ends when no large request or answer came for this time. Clients that list every few seconds are one burst: pages that
are given back between two of their lists have to be taken again, which costs about 1 ms for 1 MiB."""
LONGEST_SECONDS = 300.0
"""Pages are given back this long after the beginning of a burst that does not end: its peak may be over."""
GROWTH_BYTES = 8 << 20
"""A process that became so much bigger may have free pages, whatever made it so: thousands of small requests, or controllers."""
GROWTH_SECONDS = 30.0
"""Between two looks at that: a file of the kernel is read."""
_STATM = Path("/proc/self/statm")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def give_memory_back() -> None:
    """To be called once, before there are threads. Nothing where the C library is not glibc."""
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return
    wanted = ((_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES), (_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES), (_M_ARENA_MAX, ARENAS))
    if not all(mallopt(parameter, value) for parameter, value in wanted):
        log.warning("the C library refused a setting of its allocator; large requests may leave memory behind")


class FreePages:
    """Gives back the pages that a burst of large requests and answers left free inside of the heaps, after it; and those of a
    process that grew.

    `trim` is called in a thread: it looks at every free block, some milliseconds for 100 MB. Without it nothing happens.
    `resident`: how many bytes of memory the process has.
    """

    def __init__(self, trim: Callable[[], object] | None, resident: Callable[[], int] = lambda: 0) -> None:
        self._trim = trim
        self._resident = resident
        self._bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        """Whose timer runs."""

    def passed(self, size: int) -> None:
        """A request or an answer of so many bytes is over. To be called on the loop."""
        if size < LARGE_BYTES:
            return
        self._bytes += size
        if self._bytes >= WORTH_BYTES and self._trim is not None:
            loop = asyncio.get_running_loop()
            if self._loop is not loop:
                self._loop = loop
                loop.call_later(QUIET_SECONDS, self._look, loop, self._bytes, loop.time() + LONGEST_SECONDS)

    async def follow_growth(self) -> None:
        """Gives pages back whenever the process grew, for as long as it runs."""
        if self._trim is None:
            return
        least = self._resident()
        while True:
            await asyncio.sleep(GROWTH_SECONDS)
            now = self._resident()
            least = min(least, now)
            if now - least >= GROWTH_BYTES and self._loop is None:
                await asyncio.get_running_loop().run_in_executor(None, self._trim)
                least = self._resident()

    def _look(self, loop: asyncio.AbstractEventLoop, known: int, latest: float) -> None:
        if self._bytes != known and loop.time() < latest:
            loop.call_later(QUIET_SECONDS, self._look, loop, self._bytes, latest)
            return
        self._bytes, self._loop = 0, None
        garbage.bodies.collect()
        assert self._trim is not None
        loop.run_in_executor(None, self._trim)


def _malloc_trim() -> Callable[[], object] | None:
    trim = _of_glibc("malloc_trim")
    return None if trim is None else lambda: trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    """A function of the C library, None where it is another one."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
    return found


def _resident_bytes() -> int:
    return int(_STATM.read_bytes().split()[1]) * resource.getpagesize()


free_pages = FreePages(_malloc_trim(), _resident_bytes)
"""Those of the process."""
