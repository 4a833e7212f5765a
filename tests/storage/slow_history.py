"""A store whose history comes when a test lets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from tenantry.base.broadcast import Broadcast
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Batch, StoreError


class SlowHistory(MemoryStore):
    """Its watches show nothing before `open` is set, and fail first with what is in `errors`."""

    def __init__(self) -> None:
        super().__init__(cell=1)
        self.open = asyncio.Event()
        self.asked = asyncio.Event()
        self.errors: list[StoreError] = []

    async def watch(
        self, start: bytes, end: bytes, *, from_revision: int, asked: Broadcast[[]] | None = None, previous: bool = True
    ) -> AsyncGenerator[Batch, None]:
        self.asked.set()
        await self.open.wait()
        if self.errors:
            raise self.errors.pop()
        async for batch in super().watch(start, end, from_revision=from_revision, asked=asked, previous=previous):
            yield batch
