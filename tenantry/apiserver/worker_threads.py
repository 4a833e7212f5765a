"""Work that is too long for one turn of the event loop: in threads, or in slices between turns.

Work is weighed before it is done (`weigh`). Light work runs on the loop at once, because that is fastest. Heavy work on values
(decoding, patching, validating, encoding) runs in a few threads (`WorkerThreads`). Heavy work over many records, which only the
loop may read, is done in slices (`tenantry.base.time_slices`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Generic, NamedTuple, TypeVar

from prometheus_client import Counter, Gauge

from tenantry.base.pauses import pauses_by
from tenantry.kube.status import too_many_requests

THREADS, THREADS_OF_ONE = 3, 2
"""So many jobs run at a time, of all tenants and of one. Python runs one thread at a time. More threads make nothing faster, and
the loop has to wait longer for the interpreter lock."""
LONG_SECONDS = 0.1
"""After this time, a job does not hold up the others any more: another thread starts the next job. A job that can pause does so
where another tenant waits."""
PAUSED = 64
"""The most jobs that pause. Each keeps a thread that waits, and what its request has in memory. Others run to their end."""
WAITING = 256
"""The most jobs that wait for a thread, each with a body of up to 3 MiB. More are refused with 429."""
WAITING_OF_ONE = 64
"""The same for one tenant, so that a tenant cannot take the places of all others."""
SWITCH_SECONDS = 0.0001
"""How long a thread may keep the interpreter lock while another one waits for it (CPython: 5 ms). A request takes the lock a few
times (after each system call and each piece that TLS reads), and a commit about sixty times. Each time it waits this long while
other threads work."""

AT_ONCE = 1_000
"""The largest weight of work that runs on the loop, in the unit of `weigh`: creating an object with so many fields blocks the
loop for about 10 ms."""
_SMALL_BYTES = 2_048
_BYTES_OF_A_VALUE = 512
_LARGE_BYTES = AT_ONCE * _BYTES_OF_A_VALUE

WAITING_JOBS = Gauge("tenantry_worker_waiting", "Jobs that wait for a worker thread.")
JOBS = Counter("tenantry_worker_jobs", "Jobs that worker threads finished.")
SECONDS = Counter("tenantry_worker_seconds", "Seconds that worker threads spent on jobs.")

Result = TypeVar("Result")


def weigh(body: bytes) -> int:
    """About how many JSON values a body holds, never too few. This is the unit of all weights. Small bodies are not read. Large
    bodies are not read either: they are heavy however few values they hold.

    It counts the bytes that begin another value. It also counts such bytes inside strings, so a long text weighs as much as the
    values that it could hold.
    """
    size = len(body)
    if size <= _SMALL_BYTES or size > _LARGE_BYTES:
        return size // 8
    return size // _BYTES_OF_A_VALUE + body.count(b",") + body.count(b"{") + body.count(b"[")


def is_light(weight: int) -> bool:
    """Whether work of this weight may run on the loop at once."""
    return weight <= AT_ONCE


class _Job(Generic[Result]):
    __slots__ = ("done", "function", "loop", "wanted")

    def __init__(self, function: Callable[[], Result], loop: asyncio.AbstractEventLoop, done: asyncio.Future[Result]) -> None:
        self.function: Callable[[], Result] | None = function
        self.loop = loop
        self.done: asyncio.Future[Result] | None = done
        """None once it is resolved. The error refers to the stack frame that refers to this job, and the future refers to the
        error."""
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
        # The loop may be closed already, and its caller gone.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._finish, result, error)
        # The error refers to this frame, see `WorkerThreads.run`.
        error = None

    def _finish(self, result: Result, error: BaseException | None) -> None:
        done, self.done = self.done, None
        if done is None or done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)


class Abandoned(BaseException):
    """No caller waits for the result of a job any more."""


class _Pause:
    """A job that pauses in its thread until it is its turn again."""

    __slots__ = ("over", "thread")

    def __init__(self, thread: int) -> None:
        self.thread = thread
        self.over = threading.Event()


class _Running(NamedTuple):
    tenant: str
    job: _Job[Any]
    began: float
    """Its last turn, by the monotonic clock; 0 while it pauses."""


class _Queue:
    """The jobs of one tenant. Those that pause are first. Jobs that continue a request run before jobs that begin one: until a
    request is answered, the values decoded from its body take about ten times the memory of the body."""

    __slots__ = ("begin", "go_on", "paused")

    def __init__(self) -> None:
        self.paused: deque[_Pause] = deque()
        self.go_on: deque[_Job[Any]] = deque()
        self.begin: deque[_Job[Any]] = deque()

    def __bool__(self) -> bool:
        return bool(self.paused or self.go_on or self.begin)

    @property
    def waiting(self) -> int:
        """How many jobs wait for their first turn."""
        return len(self.go_on) + len(self.begin)

    def pop(self) -> _Job[Any] | _Pause:
        return self.paused.popleft() if self.paused else (self.go_on or self.begin).popleft()


class WorkerThreads:
    """A few threads for the whole process. Tenants take turns. The jobs of one tenant run in the order in which they came. A turn
    is a job, or of a long one that can pause (`tenantry.base.pauses`) `long_seconds`.

    A job is a function of values that belong to this job alone. It must not read what the loop changes.
    """

    def __init__(
        self,
        threads: int = THREADS,
        *,
        of_one: int | None = None,
        waiting: int = WAITING,
        waiting_of_one: int = WAITING_OF_ONE,
        long_seconds: float = LONG_SECONDS,
    ) -> None:
        """`of_one`: how many threads one tenant may have, all of them by default."""
        self._most = threads
        self._most_of_one = of_one or threads
        self._long_seconds = long_seconds
        self._running: dict[int, _Running] = {}
        """The job of each thread that is at work."""
        self._paused = 0
        self._limit = waiting
        self._limit_of_one = waiting_of_one
        self._ready = threading.Condition()
        self._queues: dict[str, _Queue] = {}
        self._waiting = 0
        self._idle = 0
        self._threads = 0

    async def run(self, tenant: str, function: Callable[[], Result], *, begins: bool = False) -> Result:
        """Runs `function` in a thread and returns its result or raises its error.

        When the caller is cancelled, a waiting job does not start, a running one ends where it can pause, and its result is
        dropped. `begins`: the job
        is the first of its request. Jobs of the same tenant that continue a request run before such jobs. Raises StatusError 429
        where too many jobs wait.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        job = _Job(function, loop, done)
        self._submit(tenant, job, begins)
        try:
            return await done
        finally:
            job.wanted = False
            # The error refers to this frame. If the frame also refers to it, only the garbage collector frees the job's values.
            del done, job

    def _submit(self, tenant: str, job: _Job[Any], begins: bool) -> None:
        with self._ready:
            queue = self._queues.get(tenant)
            if self._waiting >= self._limit or (queue is not None and queue.waiting >= self._limit_of_one):
                raise too_many_requests("Too much work of this kind is waiting, please try again later.")
            if queue is None:
                queue = self._queues[tenant] = _Queue()
            (queue.begin if begins else queue.go_on).append(job)
            self._waiting += 1
            WAITING_JOBS.inc()
            self._wake()

    def _wake(self) -> None:
        if self._idle:
            self._ready.notify()
        elif self._threads < self._most + self._paused:
            self._threads += 1
            # Daemon threads: the end of the process does not wait for jobs, because nothing of them is committed yet.
            threading.Thread(target=self._work, name=f"worker-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        pauses_by(self._pause)
        while (job := self._take()) is not None:
            job.carry_out()

    def _take(self) -> _Job[Any] | None:
        """The next job of this thread; None where there are threads enough without it."""
        thread = threading.get_ident()
        with self._ready:
            self._running.pop(thread, None)
            while self._threads <= self._most + self._paused:
                found = self._next()
                if found is None:
                    self._idle += 1
                    self._ready.wait(self._long_seconds if self._queues else None)
                    self._idle -= 1
                    continue
                tenant, next_ = found
                if isinstance(next_, _Pause):
                    self._paused -= 1
                    self._running[next_.thread] = self._running[next_.thread]._replace(began=time.monotonic())
                    next_.over.set()
                    continue
                self._running[thread] = _Running(tenant, next_, time.monotonic())
                self._waiting -= 1
                WAITING_JOBS.dec()
                return next_
            self._threads -= 1
            return None

    def _next(self) -> tuple[str, _Job[Any] | _Pause] | None:
        """Takes the next turn, if one may begin. A tenant with more jobs goes to the end of the line."""
        at_work = [running for running in self._running.values() if running.began]
        if len(at_work) >= self._most:
            return None
        if at_work and time.monotonic() - max(running.began for running in at_work) < self._long_seconds:
            return None
        for tenant, queue in self._queues.items():
            if sum(running.tenant == tenant for running in at_work) < self._most_of_one:
                found = queue.pop()
                del self._queues[tenant]
                if queue:
                    self._queues[tenant] = queue
                return tenant, found
        return None

    def _pause(self) -> None:
        """Gives way to others' jobs where the job of this thread has had a turn. Raises Abandoned."""
        thread = threading.get_ident()
        running = self._running[thread]
        if not running.job.wanted:
            raise Abandoned
        if time.monotonic() - running.began < self._long_seconds:
            return
        with self._ready:
            if self._paused >= PAUSED or not any(tenant != running.tenant for tenant in self._queues):
                return
            mine = _Pause(thread)
            queue = self._queues.pop(running.tenant, None) or _Queue()
            queue.paused.append(mine)
            self._queues[running.tenant] = queue
            self._running[thread] = running._replace(began=0.0)
            self._paused += 1
            self._wake()
        mine.over.wait()
        if not running.job.wanted:
            raise Abandoned


workers = WorkerThreads(of_one=THREADS_OF_ONE)
"""The worker threads of the process."""


async def run_weighed(tenant: str, weight: int, function: Callable[[], Result], *, begins: bool = False) -> Result:
    """The result of `function`: at once on the loop where `weight` is light, else from a thread (`WorkerThreads.run`). Raises
    what `function` raises, and StatusError 429."""
    return function() if is_light(weight) else await workers.run(tenant, function, begins=begins)
