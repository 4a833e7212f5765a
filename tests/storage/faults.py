"""A store whose answers get lost, come late, or do not come until a test says so."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Compare, CompareFailed, Delete, Indeterminate, Page, Put, Unavailable


class FaultyStore(MemoryStore):
    """`faults` are used up by the commits to come: "lost before" and "lost after" the effect, "late" (in effect when the test
    calls `deliver`), "unavailable". While `gate` is cleared, commits wait. So many reads as `silent_reads` get no answer."""

    def __init__(self) -> None:
        super().__init__(cell=1)
        self.faults: deque[str] = deque()
        self.silent_reads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.faulted = asyncio.Event()
        self.commits: list[tuple[Sequence[Compare], Sequence[Put], Sequence[Delete]]] = []
        self.late: list[tuple[Sequence[Compare], Sequence[Put], Sequence[Delete]]] = []

    async def commit(self, compares: Sequence[Compare], puts: Sequence[Put], deletes: Sequence[Delete]) -> int:
        self.commits.append((compares, puts, deletes))
        await self.gate.wait()
        fault = self.faults.popleft() if self.faults else ""
        if fault:
            self.faulted.set()
        if fault == "lost before":
            raise Indeterminate("the answer was lost")
        if fault == "late":
            self.late.append((compares, puts, deletes))
            raise Indeterminate("the answer was lost")
        if fault == "unavailable":
            raise Unavailable("no")
        revision = await super().commit(compares, puts, deletes)
        if fault == "lost after":
            raise Indeterminate("the answer was lost")
        return revision

    async def read(self, start: bytes, end: bytes, *, revision: int | None = None, limit: int | None = None) -> Page:
        if self.silent_reads:
            self.silent_reads -= 1
            raise Unavailable("no answer")
        return await super().read(start, end, revision=revision, limit=limit)

    async def deliver(self) -> int:
        """Lets the late commits arrive; how many of them took effect."""
        effective = 0
        for compares, puts, deletes in self.late:
            try:
                await super().commit(compares, puts, deletes)
                effective += 1
            except CompareFailed:
                continue
        self.late.clear()
        return effective
