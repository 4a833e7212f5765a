"""Computing again what another writer has overtaken: so many times, never without letting others run, and not for ever."""

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
"""Writers of one key take turns, so one attempt more than there are writers is enough. A computation that is overtaken by itself
(it expects what is not so) would be so for ever."""


class Attempts:
    """Iterates over attempts, each of which is entered and swallows Stale:

        async for attempt in Attempts(cell, [key]):
            with attempt:
                await cell.commit(compute())
                return

    An attempt begins when none of the keys, and of those that overtook earlier attempts, has a write under way. After the last
    one Stale is raised.
    """

    def __init__(self, cell: Cell, keys: Iterable[Key] = (), *, limit: int = ATTEMPTS) -> None:
        self._cell = cell
        self._keys = list(keys)
        self._left = limit
        self._overtaken: Key | None = None
        """Of the last attempt. Not the error: it holds the frames that hold this."""

    def __aiter__(self) -> Attempts:
        return self

    async def __anext__(self) -> Attempts:
        if self._overtaken is not None:
            if not self._left:
                logger.warning("a write was overtaken again and again and is put off", extra={"key": str(self._overtaken)})
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
    """Commits what `compute` finds to be done, in one transaction; it reads memory, and may be called again. It is called when
    none of `keys`, which it may write, has a write under way. Nothing to do is an empty sequence. Raises Stale after the last
    attempt."""
    async for attempt in Attempts(cell, keys):
        with attempt:
            changes = compute()
            if changes:
                await cell.commit(changes)
            return
