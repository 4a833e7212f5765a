"""Work that is too big for one turn of the event loop: in threads, or in slices between turns.

Work is weighed before it is done (`weigh`). Light work is done at once on the loop, since nothing is quicker. Heavy work on
values (decoding, patching, validating, encoding) goes to a few threads (`Workers`). Heavy work over many records, which only the
loop may read, is done in slices (`tenantry.base.slices`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from prometheus_client import Counter, Gauge

from tenantry.base.slices import Turns as Turns
from tenantry.base.slices import turns as turns
from tenantry.kube.status import too_many_requests

THREADS = 2
"""Python runs one thread at a time, so more make nothing faster: the loop waits for the interpreter behind each of them."""
LONG_SECONDS = 0.1
"""A job that takes longer must not hold up all others: then a second thread begins the next one."""
WAITING = 256
"""Jobs that wait for a thread, each with a body of up to 3 MiB; more are refused with 429."""
WAITING_OF_ONE = 64
"""The same for one tenant, so that nobody fills the places of all others."""
SWITCH_SECONDS = 0.0001
"""How long a thread may keep the interpreter while another wants it (CPython: 5 ms). A request takes the interpreter a few times,
after each system call and each piece that TLS reads, and a commit some sixty times; each waits this long while others work."""

AT_ONCE = 1_000
"""What may be done at once, in `weigh`'s values: creating an object of that many fields keeps the loop for some 10 ms."""
_SMALL_BYTES = 2_048
_BYTES_OF_A_VALUE = 512
_LARGE_BYTES = AT_ONCE * _BYTES_OF_A_VALUE

WAITING_JOBS = Gauge("tenantry_worker_waiting", "Pieces of work that wait for a thread.")
JOBS = Counter("tenantry_worker_jobs", "Pieces of work that threads did beside the event loop.")
SECONDS = Counter("tenantry_worker_seconds", "Time that threads worked beside the event loop.")

Result = TypeVar("Result")


def weigh(body: bytes) -> int:
    """About how many values a JSON text or another body holds, never too few; small bodies are not looked at, nor are large ones,
    which are heavy however few values they hold.

    Counted are the bytes that begin another value. Inside of strings they count too, so a big text weighs what it might hold.
    """
    size = len(body)
    if size <= _SMALL_BYTES or size > _LARGE_BYTES:
        return size // 8
    return size // _BYTES_OF_A_VALUE + body.count(b",") + body.count(b"{") + body.count(b"[")


def is_light(weight: int) -> bool:
    """Whether it may be done at once."""
    return weight <= AT_ONCE


class _Job(Generic[Result]):
    __slots__ = ("done", "function", "loop", "wanted")

    def __init__(self, function: Callable[[], Result], loop: asyncio.AbstractEventLoop, done: asyncio.Future[Result]) -> None:
        self.function: Callable[[], Result] | None = function
        self.loop = loop
        self.done: asyncio.Future[Result] | None = done
        """None once it is resolved: the error refers to the frame that refers to this job, and the future to the error."""
        self.wanted = True

    def carry_out(self) -> None:
        function, self.function = self.function, None
        if not self.wanted or function is None:
            return
        result: Any = None
        error: BaseException | None = None
        began = time.perf_counter()
        try:
            result = function()
        except BaseException as raised:  # it is raised where the job is awaited
            error = raised
        JOBS.inc()
        SECONDS.inc(time.perf_counter() - began)
        # The loop may have ended, and with it the caller.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._finish, result, error)
        # It holds this frame, see `Workers.run`.
        error = None

    def _finish(self, result: Result, error: BaseException | None) -> None:
        done, self.done = self.done, None
        if done is None or done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)


class _Queue:
    """The jobs of one tenant. Jobs that go on with a request come before those that begin one: until a request is answered, the
    values that were made of its body take ten times the memory of the body."""

    __slots__ = ("begin", "go_on")

    def __init__(self) -> None:
        self.go_on: deque[_Job[Any]] = deque()
        self.begin: deque[_Job[Any]] = deque()

    def __len__(self) -> int:
        return len(self.go_on) + len(self.begin)

    def pop(self) -> _Job[Any]:
        return (self.go_on or self.begin).popleft()


class Workers:
    """A few threads for the whole process. Tenants take turns, and the jobs of one are done in their order.

    A job is a function of values that belong to it alone: what the loop changes is read on the loop.
    """

    def __init__(
        self,
        threads: int = THREADS,
        *,
        waiting: int = WAITING,
        waiting_of_one: int = WAITING_OF_ONE,
        long_seconds: float = LONG_SECONDS,
    ) -> None:
        self._most_threads = threads
        self._long_seconds = long_seconds
        self._begun: dict[int, float] = {}
        """When the thread began the job that it is at."""
        self._limit = waiting
        self._limit_of_one = waiting_of_one
        self._ready = threading.Condition()
        self._queues: dict[str, _Queue] = {}
        self._waiting = 0
        self._idle = 0
        self._threads = 0

    async def run(self, tenant: str, function: Callable[[], Result], *, begins: bool = False) -> Result:
        """Runs the function in a thread, and returns or raises what it does.

        When the caller is cancelled, a job that waits is not begun, and the result of one under way is dropped. `begins`: the job
        begins a request, so jobs that go on with other requests of the tenant are done first. Raises StatusError 429 where too
        many jobs wait.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        job = _Job(function, loop, done)
        self._submit(tenant, job, begins)
        try:
            return await done
        finally:
            job.wanted = False
            # What it raised holds this frame: while the frame holds it too, only the collector can free what the job worked on.
            del done, job

    def _submit(self, tenant: str, job: _Job[Any], begins: bool) -> None:
        with self._ready:
            queue = self._queues.get(tenant)
            if self._waiting >= self._limit or (queue is not None and len(queue) >= self._limit_of_one):
                raise too_many_requests("Too much work of this kind is waiting, please try again later.")
            if queue is None:
                queue = self._queues[tenant] = _Queue()
            (queue.begin if begins else queue.go_on).append(job)
            self._waiting += 1
            WAITING_JOBS.set(self._waiting)
            if self._idle:
                self._ready.notify()
            elif self._threads < self._most_threads:
                self._threads += 1
                # Daemons: the end of the process does not wait for jobs, since nothing of them was written yet.
                threading.Thread(target=self._work, name=f"worker-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._take().carry_out()

    def _take(self) -> _Job[Any]:
        thread = threading.get_ident()
        with self._ready:
            self._begun.pop(thread, None)
            while not self._queues or self._other_seconds() < self._long_seconds:
                self._idle += 1
                self._ready.wait(self._long_seconds if self._queues else None)
                self._idle -= 1
            self._begun[thread] = time.monotonic()
            tenant, queue = next(iter(self._queues.items()))
            job = queue.pop()
            # To the end of the line, if there is more of this tenant's.
            del self._queues[tenant]
            if queue:
                self._queues[tenant] = queue
            self._waiting -= 1
            WAITING_JOBS.set(self._waiting)
            return job

    def _other_seconds(self) -> float:
        """How long the shortest of the jobs under way has lasted."""
        return time.monotonic() - max(self._begun.values(), default=float("-inf"))


workers = Workers()
"""Those of the process."""


async def beside(tenant: str, weight: int, function: Callable[[], Result], *, begins: bool = False) -> Result:
    """The function's result: at once where what it works on is light, else from a thread (`Workers.run`). Raises what it does,
    and 429."""
    return function() if is_light(weight) else await workers.run(tenant, function, begins=begins)
