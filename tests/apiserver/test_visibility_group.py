"""Watchers with equal visibilities share a group, and are sent what a group of their own would send them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.apiserver.hub import Hub, WatchFeed
from tenantry.apiserver.visibility import Changed, Visibility
from tenantry.apiserver.visibility_group import VisibilityGroup
from tenantry.apiserver.watch_events import Encoder
from tenantry.storage.record import Record
from tests.apiserver.range_server import RangeServer, cm, start
from tests.support.sinks import MemorySink
from tests.support.waiting import one_turn, quiet

CMS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
NAMES = ("a", "b", "c", "d")


class Sight:
    """What is visible now, and was at each version. `changed` tells the watches."""

    def __init__(self, *names: str) -> None:
        self.names = frozenset(names)
        self.past = [(0, self.names)]
        self.listeners: dict[object, Changed] = {}

    def at(self, version: int) -> frozenset[str]:
        return [names for since, names in self.past if since <= version][-1]

    def set(self, names: frozenset[str], version: int) -> None:
        self.names = names
        self.past.append((version, names))

    def changed(self, *names: str) -> None:
        for listener in list(self.listeners.values()):
            listener(names or None)


class Seen:
    """The visibility of one request."""

    def __init__(self, sight: Sight, key: Hashable | None, names: frozenset[str] | None = None, *, adds: bool = True) -> None:
        self.sight = sight
        self.key = key
        self.names = names
        self.adds = adds
        self.in_slices = False

    def sees(self, record: Record) -> bool:
        return record.key.name in (self.sight.names if self.names is None else self.names)

    def at(self, version: int) -> Visibility:
        then = self.sight.at(version)
        return self if then == self.sight.names else Seen(self.sight, None, then)

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        token = object()
        self.sight.listeners[token] = changed

        def stop() -> None:
            self.sight.listeners.pop(token, None)

        return stop


class Client:
    """A watch that runs."""

    def __init__(self, server: RangeServer, path: str, seen: Visibility) -> None:
        self.server, self.path, self.seen = server, path, seen
        self.sink = MemorySink()
        self.read = 0

    async def open(self) -> Client:
        """Begins to watch, as far as its first wait."""
        self.server.scope.seen = self.seen
        stream = await self.server.stream(self.path)
        self.server.scope.seen = None
        self.task = asyncio.ensure_future(stream.run(self.sink))
        # The stream runs up to its first wait: it is in a group then.
        await one_turn()
        return self

    async def close(self) -> None:
        self.sink.closed.set()
        await self.task

    def new(self) -> list[Any]:
        before, self.read = self.read, len(self.sink.events)
        return self.sink.events[before:]


def hub_of(server: RangeServer) -> Hub:
    return server.scope.hubs.of(server.scope.range)


def feeds(server: RangeServer) -> list[WatchFeed]:
    return list(hub_of(server)._feeds.values())


def groups(server: RangeServer) -> list[VisibilityGroup]:
    return [group for feed in feeds(server) for group in feed.groups if isinstance(group, VisibilityGroup)]


@pytest.fixture
async def filled(server: RangeServer) -> RangeServer:
    for name in NAMES:
        await server("POST", CMS, cm(name))
    return server


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[bytes]:
    """How many events were encoded, by type."""
    counted: Counter[bytes] = Counter()
    encode = Encoder.event

    def event(self: Encoder, kind: bytes, *what: Any, **how: Any) -> bytes:
        counted[kind] += 1
        return encode(self, kind, *what, **how)

    monkeypatch.setattr(Encoder, "event", event)
    return counted


async def test_an_event_is_encoded_once_for_all(filled: RangeServer, encoded: Counter[bytes]) -> None:
    sight = Sight("a", "b")
    watches = [await Client(filled, f"{CMS}?watch=true", Seen(sight, "same")).open() for _ in range(20)]
    await quiet()
    assert len(groups(filled)) == 1
    encoded.clear()
    await filled("PATCH", f"{CMS}/a", {"data": {"v": "1"}})
    await filled("PATCH", f"{CMS}/c", {"data": {"v": "1"}})
    assert encoded == {b"MODIFIED": 1}
    sight.names = frozenset({"b", "c"})
    sight.changed()
    await quiet()
    assert encoded == {b"MODIFIED": 1, b"DELETED": 1, b"ADDED": 1}
    wanted = [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "c")]
    assert [each.sink.short for each in watches] == [wanted] * 20
    for each in watches:
        await each.close()
    assert (sight.listeners, hub_of(filled).watchers, feeds(filled)) == ({}, 0, [])


@pytest.mark.parametrize("key", [None, "another"])
async def test_who_does_not_share(filled: RangeServer, encoded: Counter[bytes], key: str | None) -> None:
    sight, other = Sight("a"), Sight("a", "b")
    first = await Client(filled, f"{CMS}?watch=true", Seen(sight, "same" if key else None)).open()
    second = await Client(filled, f"{CMS}?watch=true", Seen(other, key)).open()
    third = await Client(filled, f"{CMS}?watch=true&fieldSelector=metadata.name%3Da", Seen(sight, "same" if key else None)).open()
    await quiet()
    encoded.clear()
    await filled("PATCH", f"{CMS}/a", {"data": {"v": "1"}})
    assert encoded == {b"MODIFIED": 3}
    assert len(groups(filled)) == 3
    for each in (first, second, third):
        assert each.sink.short[-1] == ("MODIFIED", "a")
        await each.close()


async def test_those_that_leave_do_not_end_the_others(filled: RangeServer) -> None:
    sight = Sight("a")
    first = await Client(filled, f"{CMS}?watch=true", Seen(sight, "same")).open()
    await quiet()
    second = await Client(filled, f"{CMS}?watch=true", Seen(sight, "same")).open()
    await quiet()
    await first.close()
    sight.names = frozenset({"b"})
    sight.changed()
    await quiet()
    assert second.sink.short == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "b")]
    await second.close()
    assert sight.listeners == {}


async def test_one_that_resumes_costs_what_is_new(filled: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    sight = Sight("a", "b")
    first = await Client(filled, f"{CMS}?watch=true", Seen(sight, "same")).open()
    await quiet()
    since = (await filled("GET", CMS)).rv
    await filled("PATCH", f"{CMS}/a", {"data": {"v": "1"}})
    await filled("DELETE", f"{CMS}/b")
    await filled("PATCH", f"{CMS}/c", {"data": {"v": "1"}})

    async def never(*_: Any) -> None:
        raise AssertionError("the whole collection was looked at")

    monkeypatch.setattr("tenantry.apiserver.verbs.selection.Selection.choose", never)
    second = await Client(filled, f"{CMS}?watch=true&resourceVersion={since}", Seen(sight, "same")).open()
    await quiet()
    assert second.sink.short == [("MODIFIED", "a"), ("DELETED", "b")]
    assert len(groups(filled)) == 1
    await first.close()
    await second.close()


@pytest.mark.parametrize("first_leaves", [False, True])
async def test_one_that_was_shown_something_else_joins_later(filled: RangeServer, first_leaves: bool) -> None:
    sight = Sight("a", "b")
    first = await Client(filled, f"{CMS}?watch=true", Seen(sight, "same")).open()
    since = int((await filled("GET", CMS)).rv)
    await filled("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
    sight.set(frozenset({"b", "c"}), filled.scope.range.version)
    sight.changed()
    await quiet()
    if first_leaves:
        await first.close()
    bookmarks = f"{CMS}?watch=true&allowWatchBookmarks=true&resourceVersion={since}"
    second = await Client(filled, bookmarks, Seen(sight, "same")).open()
    await quiet()
    assert second.sink.short == [("DELETED", "a"), ("ADDED", "c"), ("BOOKMARK", "")]
    assert [group.key for group in groups(filled)] == [groups(filled)[0].shared_key]
    assert len(sight.listeners) == 1
    for _ in range(10):
        hub_of(filled)._bookmarks._tick()
    assert second.sink.short[3:] == [("BOOKMARK", "")]
    if not first_leaves:
        await first.close()
    await second.close()
    assert (sight.listeners, feeds(filled)) == ({}, [])


async def test_during_a_comparison_one_begins_alone(filled: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.base.time_slices.turns.rest", one_turn)
    monkeypatch.setattr("tenantry.apiserver.visibility_group._PIECE", 1)
    sight = Sight(*NAMES)
    first = await Client(filled, f"{CMS}?watch=true", Seen(sight, "same")).open()
    await quiet()
    sight.names = frozenset()
    sight.changed()
    await one_turn()
    second = await Client(filled, f"{CMS}?watch=true", Seen(sight, "same")).open()
    await one_turn()
    assert len(groups(filled)) == 2
    await quiet()
    assert len(groups(filled)) == 1
    sight.names = frozenset({"d"})
    sight.changed()
    await quiet()
    assert second.sink.short == [("ADDED", "d")]
    assert first.sink.short[4:] == [*(("DELETED", name) for name in NAMES), ("ADDED", "d")]
    await first.close()
    await second.close()


async def test_streams_that_add_nothing(filled: RangeServer) -> None:
    """What comes into sight is MODIFIED there, for those that share as for the others."""
    sight = Sight("a")
    for key in (None, "same"):
        opened = [await Client(filled, f"{CMS}?watch=true", Seen(sight, key, adds=False)).open() for _ in range(2)]
        await quiet()
        sight.names = frozenset({"a", "b"})
        await filled("PATCH", f"{CMS}/b", {"data": {"v": str(key)}})
        assert [each.sink.short for each in opened] == [[("ADDED", "a"), ("MODIFIED", "b")]] * 2
        sight.names = frozenset({"a"})
        for each in opened:
            await each.close()


async def test_a_change_of_a_few_names(server: RangeServer, encoded: Counter[bytes]) -> None:
    for name in ("a", "b"):
        await server("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    sight = Sight("a")
    first, second = [await Client(server, "/api/v1/namespaces?watch=true", Seen(sight, "same")).open() for _ in range(2)]
    await quiet()
    encoded.clear()
    sight.names = frozenset("b")
    sight.changed("a", "b")
    assert first.sink.short == second.sink.short == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "b")]
    assert encoded == {b"DELETED": 1, b"ADDED": 1}
    await first.close()
    await second.close()


STEPS = st.one_of(
    st.tuples(st.just("open"), st.sampled_from(["", "initial", "without", "resume", "named"])),
    st.tuples(st.just("close"), st.integers(0, 3)),
    st.tuples(st.just("write"), st.sampled_from(NAMES)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES)),
    st.tuples(st.just("see"), st.frozensets(st.sampled_from(NAMES))),
    st.tuples(st.just("turn"), st.none()),
)


class Twins:
    """Pairs of the same watches: one whose visibility is shared, and one whose is not."""

    def __init__(self, server: RangeServer) -> None:
        self.server = server
        self.sight = Sight("a", "b")
        self.open: list[tuple[Client, Client]] = []
        self.state: dict[Client, set[str]] = {}
        self.versions: list[tuple[int, set[str]]] = []
        self.count = 0

    def visible(self) -> set[str]:
        range_ = self.server.scope.range
        return {record.key.name for record in range_.list("core/configmaps")} & self.sight.names

    async def step(self, what: str, which: Any) -> None:
        self.count += 1
        if what == "open":
            await self.opened(which)
        elif what == "close" and self.open:
            for each in self.open.pop(which % len(self.open)):
                await each.close()
        elif what == "write":
            if (await self.server("PATCH", f"{CMS}/{which}", {"data": {"v": str(self.count)}})).status == 404:
                await self.server("POST", CMS, cm(which))
        elif what == "delete":
            await self.server("DELETE", f"{CMS}/{which}")
        elif what == "see":
            await self.server("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{self.count}"}})
            self.sight.set(which, self.server.scope.range.version)
            self.sight.changed()
        elif what == "turn":
            await one_turn()
        self.versions.append((self.server.scope.range.version, self.visible()))

    async def opened(self, how: str) -> None:
        query, known = "", set[str]()
        if how == "initial":
            query = "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        elif how == "without":
            query = "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan"
            known = self.visible()
        elif how == "resume" and self.versions:
            version, known = self.versions[self.count * 7 % len(self.versions)]
            query = f"&resourceVersion={version}"
        elif how == "named":
            query = "&fieldSelector=metadata.name%3Da"
        pair = [Client(self.server, f"{CMS}?watch=true{query}", Seen(self.sight, key)) for key in ("same", None)]
        self.open.append((await pair[0].open(), await pair[1].open()))
        for each in pair:
            self.state[each] = set(known)

    def check(self, *, exactly: bool) -> None:
        for pair in self.open:
            new = [[event for event in each.new() if event["type"] != "BOOKMARK"] for each in pair]
            for client, events in zip(pair, new, strict=True):
                for event in events:
                    name, state = event["object"]["metadata"]["name"], self.state[client]
                    assert (name in state) is (event["type"] != "ADDED"), (event, state)
                    state.discard(name) if event["type"] == "DELETED" else state.add(name)
            if exactly:
                assert sorted(map(str, new[0])) == sorted(map(str, new[1]))

    def end(self) -> None:
        for pair in self.open:
            for each in pair:
                wanted = self.visible() & ({"a"} if "fieldSelector" in each.path else set(NAMES))
                assert self.state[each] == wanted, each.path
        own = [group for group in groups(self.server) if group.shared_key is None]
        shared = [group for group in groups(self.server) if group.shared_key is not None]
        assert len(own) == len(self.open)
        assert len(shared) == len({"fieldSelector" in each.path for each, _ in self.open})


@pytest.mark.parametrize("exactly", [True, False])
@given(steps=st.lists(STEPS, max_size=25))
@settings(max_examples=60, deadline=None)
def test_a_shared_group_sends_what_one_of_its_own_would(exactly: bool, steps: list[tuple[str, Any]]) -> None:
    """Exactly the same where each step is finished before the next; otherwise a comparison may come before or after a write, and
    each object is added before it is changed or deleted, once."""

    async def run() -> None:
        twins = Twins(await start())
        for name in ("a", "c"):
            await twins.server("POST", CMS, cm(name))
        await twins.step("turn", None)
        for step in steps:
            await twins.step(*step)
            if exactly:
                await quiet()
                twins.check(exactly=True)
        await quiet()
        twins.check(exactly=exactly)
        twins.end()
        for pair in twins.open:
            for each in pair:
                await each.close()
        assert (twins.sight.listeners, feeds(twins.server)) == ({}, [])
        await twins.server.scope.cell.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenantry.base.time_slices.turns.rest", one_turn)
        patch.setattr("tenantry.apiserver.verbs.selection._PIECE", 1)
        patch.setattr("tenantry.apiserver.visibility_group._PIECE", 1)
        asyncio.run(run())
