"""Waking any number of tasks that wait for something to happen."""

from __future__ import annotations

import asyncio
from copy import copy


class Signal:
    """Wakes waiting tasks. It does not remember a `send`: a task that begins to wait after it waits for the next one. A
    `close` is remembered."""

    __slots__ = ("_error", "_waiters", "closed")

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[bool]] = set()
        self._error: Exception | None = None
        self.closed = False

    def __len__(self) -> int:
        """How many tasks wait now."""
        return len(self._waiters)

    async def wait(self, timeout_seconds: float | None = None) -> bool:
        """Waits for the next `send`. Returns False if `timeout_seconds` passed before it, or if there is none any more: after a
        `close` without an error. Raises the error of `close`."""
        if self.closed:
            return self._ended()
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            if timeout_seconds is None:
                sent = await waiter
            else:
                await asyncio.wait((waiter,), timeout=timeout_seconds)
                sent = waiter.done() and waiter.result()
            return sent or self._ended()
        finally:
            self._waiters.discard(waiter)

    def send(self) -> None:
        """Wakes all waiting tasks."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(True)

    def close(self, error: Exception | None = None) -> None:
        """Wakes all waiting tasks, and ends every later wait at once. `error`: raised by these waits."""
        self.closed, self._error = True, error
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(False)

    def _ended(self) -> bool:
        if self._error is not None:
            raise copy(self._error)
        return False
