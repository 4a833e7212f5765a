"""A thread that runs calls in order and returns their results to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
Job = tuple[Callable[..., Any], tuple[Any, ...], "asyncio.Future[Any]", Callable[[Any], None] | None]


class Worker:
    """A thread with a queue. A call costs several times less than with an executor. The queue has no bound: the callers limit
    it."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, function: Callable[..., T], *args: Any, then: Callable[[T], None] | None = None) -> asyncio.Future[T]:
        """Runs `function(*args)` on the thread. `then(result)` is called on the event loop before the future resolves, even if
        the future was cancelled. Raises RuntimeError after `stop`."""
        if self._stopped:
            raise RuntimeError("the worker was stopped")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((function, args, future, then))
        return future

    def stop(self) -> None:
        """Ends the thread after the waiting calls."""
        if not self._stopped:
            self._stopped = True
            self._queue.put(None)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            function, args, future, then = job
            result: Any = None
            failure: BaseException | None = None
            try:
                result = function(*args)
            except BaseException as error:  # the caller gets every error; the thread must continue
                failure = error
            try:
                self._loop.call_soon_threadsafe(_deliver, future, result, failure, then)
            except RuntimeError:  # the loop is closed, so no caller waits
                continue


def _deliver(future: asyncio.Future[Any], result: Any, failure: BaseException | None, then: Callable[[Any], None] | None) -> None:
    if failure is not None:
        if not future.done():
            future.set_exception(failure)
        return
    if then is not None:
        then(result)
    if not future.done():
        future.set_result(result)
