"""A platform in memory that answers whole requests, as the edge hands them over, and counts the work on each.

All of it runs in one thread, which is the one that is counted: what threads beside the loop do is done at once. Texts differ from
request to request, so that nothing is remembered of the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import orjson
import pytest
from multidict import CIMultiDict

from tenantry.apiserver.authentication.static_tokens import StaticTokens
from tenantry.apiserver.request import Request
from tenantry.apiserver.worker_threads import WorkerThreads
from tenantry.http.messages import Response, Stream
from tests.growth.meter import GROWTH, SLACK, lines
from tests.support.one_process import Stack, running
from tests.support.people import MASTER, person
from tests.support.sinks import MemorySink
from tests.support.waiting import until

_NOISE_LINES = 800
"""What one request may take more than the next for no reason of its own: collections of garbage, leases, turns of the loop."""
_ANSWER_BYTES = 128 * 1024
USERS = {"master": MASTER, "ada": person("ada"), "nobody": person("nobody")}


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A request. `touched` is the size in bytes of what it is about, beside its own."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    body: Any = None
    who: str = "ada"
    touched: int = 0

    @property
    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else b"" if self.body is None else orjson.dumps(self.body)

    @property
    def size(self) -> int:
        return len(self.path) + len(self.query) + sum(len(a) + len(b) for a, b in self.headers) + len(self.raw)


Make = Callable[[int], Sent]


class Closed(MemorySink):
    """Of a client that has gone: a stream writes what it begins with, and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.closed.set()
        self.written = 0

    def send(self, framed: bytes) -> None:
        self.written += len(framed)


@dataclass
class Served:
    loop: asyncio.AbstractEventLoop
    stack: Stack
    cluster: str = ""
    _numbers: Iterator[int] = field(default_factory=count)

    def number(self) -> int:
        return next(self._numbers)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def must(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """For what a request is about; as an administrator."""
        status, answer = self.run(self.stack.call(method, path, MASTER, body, **more))
        assert status < 300, (method, path, answer)
        return answer

    def workspace(self) -> str:
        """A new one, whose administrator is `ada`."""
        cluster = str(self.run(self.stack.workspace("root", f"w{self.number()}")))
        binding = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "ada"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ada"}],
        }
        self.must("POST", f"/clusters/{cluster}/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
        return cluster

    def work(self, sent: Sent) -> tuple[int, int]:
        """The lines that run for a request, and its status. The answer is bounded; an error that is none is raised."""
        raw = sent.raw

        async def read(limit_bytes: int) -> bytes:
            return raw

        headers: CIMultiDict[str] = CIMultiDict({"User-Agent": "tests/1.0", "Content-Type": "application/json"})
        headers.update(CIMultiDict(sent.headers)) if sent.headers else None
        if sent.who:
            headers["Authorization"] = f"Bearer {sent.who}"
        answer: list[Any] = []

        async def answered() -> None:
            reply = await self.stack.handle(Request(sent.method, sent.path, sent.query, headers, read))
            if isinstance(reply, Stream):
                sink = Closed()
                await reply.run(sink)
                answer.extend((reply.status, sink.written, b""))
            else:
                assert isinstance(reply, Response)
                content = b"".join((reply.body, *reply.more))
                size = len(content) + sum(map(len, reply.warnings)) + sum(map(len, reply.headers.values()))
                answer.extend((reply.status, size, content))

        counted = lines(lambda: self.run(answered()))
        self.idle()
        status, size, content = answer
        assert size <= 3 * (sent.size + sent.touched) + _ANSWER_BYTES, (status, size, sent.size, content[:500])
        return counted, status

    def idle(self) -> None:
        """Lets the controllers do what a request left them."""
        self.run(until(lambda: all(shard.tenancy.runner.idle for shard in self.stack.shards.values())))

    def faults(self, make: Make, small: int) -> str:
        """What is wrong with the growth of a request, empty where nothing is: four times as much of what grows is at most four
        times the work, beside what the smallest takes."""
        try:
            least, answered = self.work(make(1))
            first, status = self.work(make(small))
            second, _ = self.work(make(GROWTH * small))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if answered != status or least > first:
            # The smallest was carried out, or refused, where the others were not.
            least = 0
        if second - least <= (first - least) * GROWTH * SLACK + _NOISE_LINES:
            return ""
        return f"1, {small}, {GROWTH * small} of input: {least}, {first}, {second} lines ({status})"


def failing(served: Served, cases: Iterable[tuple[str, Make]], small: int = 48) -> list[str]:
    """The cases that grow faster than what is sent."""
    found = []
    for name, make in cases:
        # Asked again, of more, before it counts: where a body begins to be worked on in parts, its work makes a step, and that
        # may be within two of these.
        sizes = (small, GROWTH * small, GROWTH * GROWTH * small)
        faults = list(takewhile(bool, (served.faults(make, size) for size in sizes)))
        if len(faults) == len(sizes):
            found.append(f"{name}: {faults[-1]}")
    return found


@contextmanager
def served(keys: Path) -> Iterator[Served]:
    """With one workspace, `cluster`, of `ada`."""

    async def at_once(workers: WorkerThreads, tenant: str, function: Callable[[], Any], *, begins: bool = False) -> Any:
        return function()

    loop = asyncio.new_event_loop()
    context = running(keys, tokens=[StaticTokens(USERS)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WorkerThreads, "run", at_once)
        try:
            found = Served(loop, loop.run_until_complete(context.__aenter__()))
            try:
                found.cluster = found.workspace()
                found.idle()
                yield found
            finally:
                loop.run_until_complete(context.__aexit__(None, None, None))
        finally:
            loop.close()
