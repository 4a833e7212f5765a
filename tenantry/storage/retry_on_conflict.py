"""Retries a transaction whose objects changed meanwhile, a limited number of times (client-go: RetryOnConflict)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from tenantry.storage.cell import Cell, Stale
from tenantry.storage.keys import Key
from tenantry.storage.record import Change

logger = logging.getLogger(__name__)

ATTEMPTS = 20
"""Writers of one key take turns, so one attempt more than there are writers is enough. The limit ends a computation that
conflicts with itself, because it expects a record that never exists."""


class Attempts:
    """Iterates over attempts. Each attempt is a context manager that suppresses Stale:

        async for attempt in Attempts(cell, [key]):
            with attempt:
                await cell.commit(compute())
                return

    An attempt begins when no write of the keys is in progress; keys on which earlier attempts conflicted are added to them.
    Between attempts other tasks run. After the last attempt Stale is raised.
    """

    def __init__(self, cell: Cell, keys: Iterable[Key] = (), *, limit: int = ATTEMPTS) -> None:
        self._cell = cell
        self._keys = list(keys)
        self._left = limit
        self._overtaken: Key | None = None
        """The key on which the last attempt conflicted. The error itself is not kept: its traceback would refer to this
        object."""

    def __aiter__(self) -> Attempts:
        return self

    async def __anext__(self) -> Attempts:
        if self._overtaken is not None:
            if not self._left:
                logger.warning("a write conflicted too often, giving up for now", extra={"key": str(self._overtaken)})
                raise Stale(self._overtaken)
            if self._overtaken not in self._keys:
                self._keys.append(self._overtaken)
            await asyncio.sleep(0)
        self._left -= 1
        await self._cell.writes_done(self._keys)
        return self

    def __enter__(self) -> Attempts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if isinstance(error, Stale):
            self._overtaken = error.key
            return True
        return False


async def transact(cell: Cell, keys: Sequence[Key], compute: Callable[[], Sequence[Change]]) -> None:
    """Commits the changes that `compute` returns, in one transaction. Raises Stale after the last attempt.

    `compute` reads memory, may be called several times, and returns an empty sequence if there is nothing to do. `keys`: the keys
    that it may write. It is called when none of them has a write in progress."""
    async for attempt in Attempts(cell, keys):
        with attempt:
            changes = compute()
            if changes:
                await cell.commit(changes)
            return
