"""A shard that has just acquired a range answers at once, but for what needs history that is still being backfilled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from tenantry.apiserver.forwarded import NOT_OWNER
from tenantry.http.messages import Response, Stream
from tests.apiserver.range_server import DEFINITIONS, RangeScope, RangeServer, cm
from tests.storage.slow_history import SlowHistory
from tests.support.ranges import root_range
from tests.support.sinks import MemorySink
from tests.support.waiting import quiet

CMS = "/api/v1/namespaces/default/configmaps"


class Taken(NamedTuple):
    server: RangeServer
    store: SlowHistory
    before: str
    """The version when there was `a` alone; then came `b`."""


@pytest.fixture
async def taken() -> AsyncIterator[Taken]:
    store = SlowHistory()
    former = RangeServer(RangeScope(*await root_range(store), DEFINITIONS))
    await former("POST", CMS, cm("a"))
    before = (await former("GET", CMS)).rv
    await former("POST", CMS, cm("b"))
    cell, range_ = await root_range(store, "shard-2")
    yield Taken(RangeServer(RangeScope(cell, range_, DEFINITIONS)), store, before)
    await cell.close()


async def test_what_is_asked_of_the_present_is_answered(taken: Taken) -> None:
    server = taken.server
    assert (await server("POST", CMS, cm("c"))).status == 201
    assert (await server("GET", CMS)).names == ["a", "b", "c"]
    assert (await server("GET", f"{CMS}?resourceVersion=0")).names == ["a", "b", "c"]
    async with server.watching(f"{CMS}?watch=true") as sink:
        assert [name for _, name in sink.short] == ["a", "b", "c"]


async def test_a_watch_that_resumes_waits_and_misses_nothing(taken: Taken) -> None:
    server = taken.server
    resuming = asyncio.create_task(server.stream(f"{CMS}?watch=true&resourceVersion={taken.before}"))
    await quiet()
    assert not resuming.done()
    await server("POST", CMS, cm("c"))
    taken.store.open.set()
    sink = MemorySink()
    running = asyncio.ensure_future((await resuming).run(sink))
    await sink.wait(2)
    await server("POST", CMS, cm("d"))
    await sink.wait(3)
    assert [name for _, name in sink.short] == ["b", "c", "d"]
    sink.closed.set()
    await running


async def test_a_list_at_an_older_version_waits(taken: Taken) -> None:
    old = asyncio.create_task(taken.server("GET", f"{CMS}?resourceVersionMatch=Exact&resourceVersion={taken.before}"))
    await quiet()
    assert not old.done()
    taken.store.open.set()
    assert (await old).names == ["a"]


async def test_a_request_that_waits_at_a_shard_that_releases_the_range_can_go_to_the_next(taken: Taken) -> None:
    """The answer is none that makes a client list again."""
    resuming = asyncio.create_task(taken.server.reply("GET", f"{CMS}?watch=true&resourceVersion={taken.before}"))
    await quiet()
    await taken.server.scope.cell.release("root")
    answer = await resuming
    assert isinstance(answer, Response) and not isinstance(answer, Stream)
    assert (answer.status, NOT_OWNER in answer.headers) == (503, True)
