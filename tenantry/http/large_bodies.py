"""Bounds how many bytes of large bodies are worked on at the same time for one tenant.

The values that are made of a body take ten times its memory until the request is answered. The memory that many of them took
together is hard to give back: CPython's allocator frees a block of a megabyte only when nothing in it is used any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from tenantry.base.fair_queue import FairQueue, Owners

_PATIENCE_SECONDS = 2.0
"""A body that waited for so long goes on: what the others wait for then is no work of this process, but the store, for
example."""

_Waiting = tuple[asyncio.Future[None], int]


class _Tenant:
    __slots__ = ("bytes", "queue")

    def __init__(self) -> None:
        self.bytes = 0
        self.queue: FairQueue[_Waiting] = FairQueue()


class LargeBodies:
    """The large bodies of one server. `bytes_of_one`: how many bytes of bodies one tenant may have worked on, but always one
    body; 0 for any number. The users of a tenant take turns, by bytes.
    """

    def __init__(self, bytes_of_one: int) -> None:
        self._most = bytes_of_one
        self._tenants: dict[Hashable, _Tenant] = {}
        self.waited_seconds = 0.0
        """How long bodies waited, all of them together."""

    async def begin(self, owners: Owners, size: int) -> None:
        """Waits until a body of `size` bytes may be worked on. `end` must be called later, unless this raises."""
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
                # The caller went away in the moment in which it was its turn.
                tenant.bytes -= size
            self._next(owners[0], tenant)
            raise
        finally:
            timer.cancel()
            self.waited_seconds += loop.time() - began

    def end(self, owners: Owners, size: int) -> None:
        """The request with the body is answered."""
        tenant = self._tenants[owners[0]]
        tenant.bytes -= size
        self._next(owners[0], tenant)

    def _next(self, name: Hashable, tenant: _Tenant) -> None:
        while (found := tenant.queue.pop(lambda _, waiting: self._fits(tenant, waiting[1]), cost=0.0)) is not None:
            self._go(tenant, *found)
        if not tenant.bytes:
            # Nobody waits either: the first of them would fit.
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
