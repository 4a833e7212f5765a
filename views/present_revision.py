"""The present revision of the store, for requests that must see all that was committed before them."""

from __future__ import annotations

import asyncio

from tenantry.base.tasks import awaited
from tenantry.storage.keys import VIEW_NAMES
from tenantry.storage.store import Store

_KEY = VIEW_NAMES.encode()


class PresentRevision:
    """Reads the revision. Requests that come at one time share a read, which begins after all of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._reading: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None

    async def read(self) -> int:
        """Raises StoreError."""
        if self._next is None:
            self._next = awaited(self._read_after(self._reading), name="read the present revision")
        return await asyncio.shield(self._next)

    async def _read_after(self, before: asyncio.Task[int] | None) -> int:
        if before is not None and not before.done():
            await asyncio.wait([before])
        # From here on a request comes too late for this read.
        self._reading, self._next = self._next, None
        return (await self._store.read(_KEY, _KEY + b"\0", limit=1)).revision
