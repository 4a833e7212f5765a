"""Look-ups of host names that tenants name, in threads of their own: a slow name server holds up no other work.

A tenant has a share of the threads. Answers are kept for a short time, because a write may look up a name for each webhook.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tenantry.base.cache import Cache
from tenantry.base.shares import Shares
from tenantry.http.outgoing_connection import OutgoingError

THREADS = 16
_KEPT_SECONDS = 15.0
_CACHE_BYTES_MAX = 256 << 10


class NameLookups:
    def __init__(self) -> None:
        self.shares = Shares("webhook_name_lookups", THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="name-lookup")
        self._known: Cache[str, tuple[float, tuple[str, ...]]] = Cache("webhook_names", bytes_max=_CACHE_BYTES_MAX)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def addresses(self, host: str, owner: str) -> Sequence[str]:
        """The addresses of a host name. Raises OutgoingError."""
        known = self._known.get(host)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        if not self.shares.take((owner,)):
            raise OutgoingError(f"dial tcp: lookup {host}: too many look-ups at the same time")
        future = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host)
        # The thread is taken until the look-up ends, also if its write has been given up.
        future.add_done_callback(lambda _: self.shares.give((owner,)))
        found = await asyncio.shield(future)
        if not found:
            raise OutgoingError(f"dial tcp: lookup {host}: no such host")
        self._known.put(host, (time.monotonic() + _KEPT_SECONDS, found))
        return found


def _look_up(host: str) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))
