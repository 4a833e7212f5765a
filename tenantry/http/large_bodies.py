"""Limits how many bytes of large bodies are processed at the same time for one tenant.

The values that are made from a body take ten times its memory until the request is answered. If many bodies are processed
together, that memory is hard to return: CPython's allocator frees an arena of a megabyte only when nothing in it is used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from tenantry.base.fair_queue import FairQueue, Owners

_PATIENCE_SECONDS = 2.0
"""The longest wait of a body. After that time the other bodies probably wait for something outside this process, such as the
store."""

_Waiting = tuple[asyncio.Future[None], int]


class _Tenant:
    __slots__ = ("bytes", "queue")

    def __init__(self) -> None:
        self.bytes = 0
        self.queue: FairQueue[_Waiting] = FairQueue()


class LargeBodies:
    """The large bodies of one server. `bytes_of_one`: how many bytes of bodies of one tenant are processed at a time, but at
    least one body; 0: no limit. The users of a tenant take turns, by bytes.
    """

    def __init__(self, bytes_of_one: int) -> None:
        self._most = bytes_of_one
        self._tenants: dict[Hashable, _Tenant] = {}
        self.waited_seconds = 0.0
        """How long bodies have waited in total."""

    async def begin(self, owners: Owners, size: int) -> None:
        """Waits until a body of `size` bytes may be processed. Call `end` later, unless this raises."""
        tenant = self._tenants.get(owners[0])
        if tenant is None:
            tenant = self._tenants[owners[0]] = _Tenant()
        if not tenant.queue and self._fits(tenant, size):
            tenant.bytes += size
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        waiting: _Waiting = loop.create_future(), size
        tenant.queue.push(owners, waiting)
        timer = loop.call_later(_PATIENCE_SECONDS, self._let_go, tenant, owners, waiting)
        try:
            await waiting[0]
        except BaseException:
            if not tenant.queue.remove(owners, waiting):
                # The caller was cancelled after it had been let go.
                tenant.bytes -= size
            self._next(owners[0], tenant)
            raise
        finally:
            timer.cancel()
            self.waited_seconds += loop.time() - began

    def end(self, owners: Owners, size: int) -> None:
        """Called when the request with the body is answered."""
        tenant = self._tenants[owners[0]]
        tenant.bytes -= size
        self._next(owners[0], tenant)

    def _next(self, name: Hashable, tenant: _Tenant) -> None:
        while (found := tenant.queue.pop(lambda _, waiting: self._fits(tenant, waiting[1]), cost=0.0)) is not None:
            self._go(tenant, *found)
        if not tenant.bytes:
            # No body waits either, because the first one would fit.
            del self._tenants[name]

    def _fits(self, tenant: _Tenant, size: int) -> bool:
        return not tenant.bytes or not self._most or tenant.bytes + size <= self._most

    def _go(self, tenant: _Tenant, owners: Owners, waiting: _Waiting) -> None:
        turn, size = waiting
        tenant.queue.charge(owners, size)
        tenant.bytes += size
        if not turn.done():
            turn.set_result(None)

    def _let_go(self, tenant: _Tenant, owners: Owners, waiting: _Waiting) -> None:
        if tenant.queue.remove(owners, waiting):
            self._go(tenant, owners, waiting)
