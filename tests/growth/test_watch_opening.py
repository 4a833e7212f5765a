"""To open a watch, or to list, by a name or by a label that few objects have costs the same however many objects there are; to
resume costs what is new since."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import orjson
import pytest

from tenantry.apiserver.visibility import Visibility
from tenantry.storage import selector_index
from tenantry.storage.keys import Key
from tenantry.storage.record import Head, Record, RecordEvent
from tests.apiserver.range_server import RangeServer, start
from tests.apiserver.test_visibility_group import Seen, Sight
from tests.growth.meter import lines
from tests.support.sinks import MemorySink
from tests.support.waiting import quiet

CMS = "/api/v1/configmaps"
SMALL, LARGE = 300, 4 * 300
NOISE_LINES = 100
NAMESPACES = 100
"""More than are looked into one after the other."""
SELECTORS = {
    "a name": "fieldSelector=metadata.name%3Do7",
    "a name and a namespace": "fieldSelector=metadata.name%3Do7,metadata.namespace%3Dn7",
    "a value": "labelSelector=app%3Dv7",
    "one of two values": "labelSelector=app+in+(v7,v8)",
    "a label": "labelSelector=rare",
    "two values": "labelSelector=all%3Dyes,app%3Dv7,app!%3Dv8",
    "no such name": "fieldSelector=metadata.name%3Dnone",
    "no such value": "labelSelector=app%3Dnone",
}


def record(number: int, version: int) -> Record:
    labels = {"app": f"v{number // 2}", "all": "yes", **({"rare": "yes"} if number == 7 else {})}
    key = Key("root", "core/configmaps", f"n{number % NAMESPACES}", f"o{number}")
    metadata = {"name": key.name, "namespace": key.namespace, "labels": labels}
    return Record(key, orjson.dumps({"metadata": metadata}), version, Head(labels=labels))


class Counted:
    """A range of so many objects, and the lines that requests run."""

    def __init__(self, runner: asyncio.Runner, count: int, seen: Visibility | None = None) -> None:
        self.runner = runner
        self.server: RangeServer = runner.run(start())
        self.server.scope.seen = seen
        self.range = self.server.scope.range
        version = self.range.version
        written = [record(number, version + number + 1) for number in range(count)]
        self.range.follow([RecordEvent(each.key, each.version, each, None) for each in written], version + count)

    def lines(self, query: str, *, watch: bool = True) -> int:
        async def watched() -> None:
            stream = await self.server.stream(f"{CMS}?watch=true&{query}")
            sink = MemorySink()
            task = asyncio.ensure_future(stream.run(sink))
            await quiet()
            sink.closed.set()
            await task

        async def listed() -> None:
            await self.server("GET", f"{CMS}?{query}")

        return lines(lambda: self.runner.run(watched() if watch else listed()))


def both(work: Callable[[Counted], int], seen: Visibility | None = None) -> tuple[int, int]:
    found = []
    for count in (SMALL, LARGE):
        with asyncio.Runner() as runner:
            counted = Counted(runner, count, seen)
            # The first requests make indexes, one each.
            for _ in range(4):
                work(counted)
            found.append(work(counted))
            runner.run(counted.server.scope.cell.close())
            selector_index._kept.clear()
    return found[0], found[1]


@pytest.fixture(autouse=True)
def some_are_common(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector_index, "SELECTED_MAX", 64)


@pytest.mark.parametrize("watch", [True, False], ids=["watch", "list"])
@pytest.mark.parametrize("selector", SELECTORS)
def test_a_selector_of_few_objects(selector: str, watch: bool) -> None:
    small, large = both(lambda counted: counted.lines(SELECTORS[selector], watch=watch))
    assert large <= small + NOISE_LINES, (small, large)


@pytest.mark.parametrize("selector", ["a name", "a value"])
def test_through_a_view(selector: str) -> None:
    seen = Seen(Sight("o7", "o14", "o15"), None)
    small, large = both(lambda counted: counted.lines(SELECTORS[selector]), seen)
    assert large <= small + NOISE_LINES, (small, large)


@pytest.mark.parametrize("query", ["", "&" + SELECTORS["a name"]])
def test_a_watch_that_resumes(query: str) -> None:
    def resumed(counted: Counted) -> int:
        return counted.lines(f"resourceVersion={counted.range.version - 10}{query}")

    small, large = both(resumed)
    assert large <= small + NOISE_LINES, (small, large)


@pytest.mark.parametrize("watch", [True, False], ids=["watch", "list"])
def test_what_no_index_answers(watch: bool) -> None:
    """So much the others would cost without one."""
    small, large = both(lambda counted: counted.lines("labelSelector=all!%3Dyes", watch=watch))
    assert large > small + LARGE - SMALL
