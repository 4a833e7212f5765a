"""Requests for views on their way to processes that answer, refuse, hang, or are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from tenantry.apiserver.request import Request
from tenantry.apiserver.storage_errors import not_owner
from tenantry.http.messages import Relay, Response, Sink, Stream, frame
from tenantry.kube.status import StatusError
from tenantry.placement import view_connections
from tenantry.placement.map_rows import encode
from tenantry.placement.view_connections import ViewConnections
from tenantry.placement.view_forwarding import ViewForwarding
from tenantry.placement.view_processes import ViewProcesses
from tenantry.placement.view_rows import ViewNameRow, ViewProcessRow, view_name_key, view_process_key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Delete, Put
from tests.support.patience import PATIENCE_SECONDS
from tests.support.upstream import Upstream
from tests.support.waiting import until
from tools.ports import free_port

ANSWER_SECONDS = 0.2


@dataclass
class Platform:
    store: MemoryStore
    processes: ViewProcesses
    connections: ViewConnections
    forwarding: ViewForwarding
    replicas: dict[str, Upstream]

    async def register(self, name: str, url: str) -> None:
        row = ViewProcessRow(name, url, "1.0", ["a", "b"])
        puts = [Put(view_process_key(name), encode(row)), Put(view_name_key("a"), encode(ViewNameRow(name)))]
        await self.processes.reached(await self.store.commit([], puts, []))

    async def ask(self, place: str = "root", view: str = "a", method: str = "GET") -> str:
        """The name of the process that answered."""
        request = Request(method, f"/services/{view}/{place}")
        body = b"{}" if method != "GET" else b""
        head = f"{method} /services/{view}/{place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        reply = await self.forwarding.send(request, view, place, head.encode() + body)
        assert isinstance(reply, Relay)
        return reply.body.decode()

    async def refusal(self, **how: str) -> StatusError:
        with pytest.raises(StatusError) as refused:
            await self.ask(**how)
        return refused.value


@asynccontextmanager
async def platform(*names: str, unanswered_max: int = 100) -> AsyncIterator[Platform]:
    store = MemoryStore()
    processes = ViewProcesses(store)
    await processes.start()
    connections = ViewConnections(processes, tls=None)
    connections.start()
    forwarding = ViewForwarding(connections, answer_seconds=ANSWER_SECONDS, unanswered_max=unanswered_max)
    made = Platform(store, processes, connections, forwarding, {})
    try:
        async with AsyncExitStack() as servers:
            for name in names:
                replica = made.replicas[name] = Upstream(Response(200, name.encode()))
                await made.register(name, await servers.enter_async_context(replica.listening()))
            servers.callback(connections.stop)
            yield made
    finally:
        await processes.stop()
        await store.close()


async def test_one_process_has_a_range_whoever_else_comes_and_goes() -> None:
    async with platform("one", "two", "three") as views:
        places = [f"range-{number}" for number in range(30)]
        first = {place: await views.ask(place) for place in places}
        assert set(first.values()) == {"one", "two", "three"}, "they share the ranges"
        assert {place: await views.ask(place, view="b") for place in places} == first, "whichever view is asked for"
        await views.processes.reached(await views.store.commit([], [], [Delete(view_process_key("two"))]))
        then = {place: await views.ask(place) for place in places}
        assert {place: name for place, name in then.items() if first[place] != "two"} == {
            place: name for place, name in first.items() if name != "two"
        }


async def test_a_process_with_no_address_does_not_hide_others() -> None:
    """Neither those that register after it, nor from a gateway that starts."""
    async with platform("one") as views:
        await views.register("broken", "https://[host:443]:6443")
        await views.register("two", views.processes.processes["one"].url)
        started = ViewConnections(views.processes, tls=None)
        started.start()
        for connections in (views.connections, started):
            assert {replica.process.name for replica in connections.candidates("a", "root")} == {"one", "two"}
        started.stop()


async def test_another_one_is_asked_where_the_first_cannot_be_reached_or_is_starting() -> None:
    async with platform("one", "two") as views:
        name = await views.ask()
        other = {"one": "two", "two": "one"}[name]
        views.replicas[name].answer = not_owner("it is starting")
        assert await views.ask() == other
        assert await views.ask(method="POST") == other, "it did nothing"
        await views.register(name, views.processes.processes[name].url)
        async with platform() as gone:
            await gone.register(name, f"http://127.0.0.1:{free_port()}")
            error = await gone.refusal(method="POST")
            assert error.code == 503 and error.headers["Retry-After"] == "1"


async def test_a_process_that_hangs_costs_one_request_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_connections, "FIRST_PAUSE_SECONDS", 60.0)
    async with platform("one") as views:
        replica = views.replicas["one"]
        replica.hangs = asyncio.Event()
        loop = asyncio.get_running_loop()
        began = loop.time()
        error = await views.refusal()
        assert error.code == 503 and error.headers["Retry-After"] == "1"
        assert loop.time() - began >= ANSWER_SECONDS
        error = await views.refusal()
        assert error.code == 503 and len(replica.requests) == 1, "it is not asked again at once"
        replica.hangs.set()
        assert await views.ask(view="b") == "one", "about another view it is"


async def test_after_a_pause_one_request_tries_whether_it_answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_connections, "FIRST_PAUSE_SECONDS", 0.0)
    async with platform("one") as views:
        replica = views.replicas["one"]
        replica.hangs = asyncio.Event()
        await views.refusal()
        replica.hangs.set()
        assert await views.ask() == "one"
        assert await views.ask() == "one"


async def test_a_long_request_does_not_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one tenant's list of many objects in a process that answers everybody else."""
    monkeypatch.setattr(view_connections, "FIRST_PAUSE_SECONDS", 60.0)
    async with platform("one") as views:
        replica = views.replicas["one"]
        replica.hangs = asyncio.Event()
        long = asyncio.create_task(views.refusal())
        await until(lambda: len(replica.requests) == 1)
        hanging, replica.hangs = replica.hangs, None
        assert await views.ask() == "one"
        assert (await long).code == 503
        assert await views.ask() == "one"
        replica.hangs = hanging
        assert (await views.refusal()).code == 503
        assert "no process serves it now" in str(await views.refusal()), "nobody was answered meanwhile"


async def test_failures_of_one_moment_are_one() -> None:
    """However many requests a process leaves without an answer, it is tried again after the first pause."""
    async with platform("one") as views:
        [replica] = views.connections.candidates("a", "root")
        for number in range(20):
            replica.failed("a", began=1.0, now=2.0 + number / 100)
        assert not replica.may_be_asked("a", 2.0)
        again = 2.0 + view_connections.FIRST_PAUSE_SECONDS
        assert replica.may_be_asked("a", again)
        replica.failed("a", began=again, now=again + 1)
        assert not replica.may_be_asked("a", again + 1 + view_connections.FIRST_PAUSE_SECONDS), "the next one doubles it"


async def test_a_write_that_was_sent_is_not_sent_again() -> None:
    async with platform("one", "two") as views:
        for replica in views.replicas.values():
            replica.hangs = asyncio.Event()
        error = await views.refusal(method="POST")
        assert error.code == 502 and "Retry-After" not in error.headers
        assert sum(len(replica.requests) for replica in views.replicas.values()) == 1


async def test_no_more_than_some_requests_wait_for_a_view() -> None:
    async with platform("one", unanswered_max=2) as views:
        replica = views.replicas["one"]
        replica.hangs = asyncio.Event()
        waiting = [asyncio.create_task(views.ask()) for _ in range(2)]
        await until(lambda: len(replica.requests) == 2)
        error = await views.refusal()
        assert error.code == 503 and "2 requests wait" in str(error)
        replica.hangs.set()
        assert await asyncio.gather(*waiting) == ["one", "one"]
        assert await views.ask() == "one"


async def test_views_that_hang_together_hold_no_more_than_two_of_them_may() -> None:
    async with platform("one", unanswered_max=4) as views:
        views.forwarding._answer_seconds = PATIENCE_SECONDS
        row = ViewProcessRow("one", views.processes.processes["one"].url, "1.0", list("abcdefgh"))
        await views.processes.reached(await views.store.commit([], [Put(view_process_key("one"), encode(row))], []))
        replica = views.replicas["one"]
        replica.hangs = asyncio.Event()
        waiting: list[asyncio.Task[str]] = []
        held = []
        for view in "abcd":
            for _ in range(4):
                waiting.append(asyncio.create_task(views.ask(view=view)))
                await until(lambda: len(replica.requests) + sum(task.done() for task in waiting) == len(waiting))
            held.append(sum(not task.done() for task in waiting[-4:]))
        assert held == [4, 2, 1, 1], "each has a part of what others left"
        replica.hangs.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert answers.count("one") == 8
        assert await views.ask(view="e") == "one"


class Written:
    """A RelaySink."""

    lags = False
    ending = False

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        pass

    def on_ending(self, callback: object) -> None:
        pass


async def test_watches_of_a_process_that_is_gone_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view_connections, "GONE_SECONDS", 0.0)

    async def forever(sink: Sink) -> None:
        sink.send(frame(b"event\n"))
        await asyncio.Event().wait()

    async with platform("one") as views:
        views.replicas["one"].answer = Stream(forever)
        sent = b"GET /services/a/root?watch=true HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        reply = await views.forwarding.send(Request("GET", "/services/a/root"), "a", "root", sent)
        assert isinstance(reply, Relay) and reply.chunked and reply.run is not None
        sink = Written()
        watching = asyncio.gather(reply.run(sink))
        await until(lambda: b"event" in sink.data)
        await views.processes.reached(await views.store.commit([], [], [Delete(view_process_key("one"))]))
        async with asyncio.timeout(PATIENCE_SECONDS):
            await watching


async def test_without_a_process_requests_come_again_later() -> None:
    async with platform() as views:
        error = await views.refusal()
        assert error.code == 503 and error.headers["Retry-After"] == "1"
