"""Returns memory to the operating system after a burst of large requests.

glibc allocates large blocks with mmap. Whenever such a block is freed, glibc raises the threshold for mmap, up to 32 MiB
(mallopt(3)). After that, bodies come from heaps. A heap shrinks only at its end, and each thread has heaps of its own. Only
malloc_trim(3) returns free pages inside a heap.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import resource
from collections.abc import Callable
from pathlib import Path

from tenantry.base import garbage

logger = logging.getLogger(__name__)

MMAP_THRESHOLD_BYTES = 4 << 20
"""The mmap threshold (M_MMAP_THRESHOLD). Setting it stops its growth. It is above the buffer of a TLS read (256 KiB and a
header), the pieces of lists, and bodies: to map new pages for them costs more than to use them. `FreePages` returns what they
leave in the heaps."""
TRIM_THRESHOLD_BYTES = 32 << 20
"""How many free bytes each heap keeps at its end (M_TRIM_THRESHOLD), so that ordinary lists need no new pages either."""
ARENAS = 2
LARGE_BYTES = 64 << 10
"""From which size a request or an answer counts as large. The memory of smaller ones is reused at once."""
WORTH_BYTES = 1 << 20
"""How many bytes of large requests and answers make a trim worthwhile. The values that are made from a body take 10 to 20 times
its memory. After fewer bytes there is no trim; they count for the next burst."""
QUIET_SECONDS = 20.0
"""A burst ends when less than WORTH_BYTES of large requests and answers came in this time: a scraper of metrics does not keep it
up. Clients that list every few seconds are one burst: pages that are returned between two of their lists have to be mapped again,
which costs about 1 ms for 1 MiB."""
LONGEST_SECONDS = 300.0
"""Pages are returned this long after the beginning of a burst that does not end: its peak may be over."""
GROWTH_BYTES = 8 << 20
"""How much a process must grow for a trim without a burst. Thousands of small requests or controllers leave free pages too."""
GROWTH_SECONDS = 30.0
"""How often the growth is checked. Each check reads a file of /proc."""
_STATM = Path("/proc/self/statm")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8


def give_memory_back() -> None:
    """Configures glibc's allocator. Call it once, before there are threads. It does nothing with another C library."""
    mallopt = _of_glibc("mallopt")
    if mallopt is None:
        return
    wanted = ((_M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES), (_M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES), (_M_ARENA_MAX, ARENAS))
    if not all(mallopt(parameter, value) for parameter, value in wanted):
        logger.warning("glibc refused a setting of its allocator; memory of large requests may not be returned")


class FreePages:
    """Returns free pages inside the heaps to the operating system: after a burst of large requests and answers, and when the
    process has grown.

    `trim`: called in a thread, because it looks at every free block (some milliseconds for 100 MB). None: nothing is done.
    `resident`: the resident memory of the process in bytes.
    """

    def __init__(self, trim: Callable[[], object] | None, resident: Callable[[], int] = lambda: 0) -> None:
        self._trim = trim
        self._resident = resident
        self._bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop whose timer runs, None if there is no timer."""

    def passed(self, size: int) -> None:
        """Counts a finished request or answer of `size` bytes. Call it on the event loop."""
        if size < LARGE_BYTES:
            return
        self._bytes += size
        if self._bytes >= WORTH_BYTES and self._trim is not None:
            loop = asyncio.get_running_loop()
            if self._loop is not loop:
                self._loop = loop
                loop.call_later(QUIET_SECONDS, self._look, loop, self._bytes, loop.time() + LONGEST_SECONDS)

    async def follow_growth(self) -> None:
        """Returns pages whenever the process has grown. It runs until it is cancelled."""
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
        if self._bytes - known >= WORTH_BYTES and loop.time() < latest:
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
    """A function of glibc, None if the C library is another one."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return None
    return found


def _resident_bytes() -> int:
    return int(_STATM.read_bytes().split()[1]) * resource.getpagesize()


free_pages = FreePages(_malloc_trim(), _resident_bytes)
"""The one object of the process."""
