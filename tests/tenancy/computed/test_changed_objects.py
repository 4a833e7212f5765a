"""A collection that is made from one group of copies computes only what has changed, and shows the same as if it computed all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.storage.keys import Key
from tenantry.storage.record import Head, RecordEvent
from tenantry.tenancy.computed import collection
from tenantry.tenancy.computed.collection import Collection, Computed
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources
from tests.tenancy.computed.test_collection import CELL, CLUSTER, RESOURCE, State, Things, World, fold, shown, things


class Group(State):
    """`asked`: the names of each computation of some objects."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[set[str]] = []
        name = ("root", "things", ())
        self.collection = Collection(self, CELL, self.base, CLUSTER, name, self.compute, at_once=True, some=self.compute_some)

    def compute_some(self, sources: Sources, names: Iterable[str]) -> Iterator[tuple[Key, ComputedRecord | None]]:
        assert isinstance(sources, World)
        self.asked.append(set(names))
        for name in names:
            thing = sources.things.get(name)
            key = Key(CLUSTER, RESOURCE, "", name)
            yield key, self.made(name, *thing, sources.newest) if thing is not None else None
        if self.meanwhile:
            self.meanwhile.pop(0)()

    def made(self, name: str, uid: str, content: str, revision: int) -> ComputedRecord:
        value = b'{"metadata":{"name":"%b"},"content":"%b"}' % (name.encode(), content.encode())
        return ComputedRecord(RESOURCE, "", name, value, Head(uid), revision)

    def shown(self) -> Things:
        return shown(list(self.collection.range.list(RESOURCE, CLUSTER)))

    async def settled(self) -> None:
        while not self.collection.is_current:
            await self.collection.refresh()


async def test_only_what_changed_is_computed() -> None:
    state = Group()
    state.put({"a": ("u", "x"), "b": ("u", "x"), "c": ("u", "x")})
    await state.collection.refresh()
    got: list[RecordEvent] = []
    stop = state.collection.range.subscribe(got.extend, RESOURCE, CLUSTER)
    computed = state.computed
    state.put({"a": ("u", "y"), "b": ("u", "x")})
    await state.collection.refresh()
    assert (state.computed, state.asked) == (computed, [{"a", "c"}])
    assert state.shown() == state.things
    assert [(event.key.name, event.record is None) for event in got] == [("a", False), ("c", True)]
    # A change during a computation is computed next.
    state.meanwhile = [lambda: state.put({"a": ("u", "y")})]
    state.put({"a": ("u", "z"), "b": ("u", "x")})
    await state.settled()
    assert (state.computed, state.asked[1:]) == (computed, [{"a"}, {"a", "b"}])
    assert state.shown() == state.things
    stop()
    # Without subscribers, nothing is known of changes.
    state.put({"d": ("u", "x")})
    await state.collection.refresh()
    assert (state.computed, state.shown()) == (computed + 1, state.things)


async def test_many_changes_are_computed_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "SOME_MAX", 2)
    state = Group()
    await state.collection.refresh()
    stop = state.collection.range.subscribe(lambda _: None, RESOURCE, CLUSTER)
    state.put(dict.fromkeys("abc", ("u", "x")))
    await state.settled()
    assert (state.asked, state.shown()) == ([], state.things)
    state.put(dict.fromkeys("ab", ("u", "x")))
    await state.settled()
    assert (state.asked, state.shown()) == ([{"c"}], state.things)
    # More changes than there are versions in a revision.
    monkeypatch.setattr(collection, "SOME_MAX", 1000)
    before = state.collection.range
    state.put({f"n{number}": ("u", "x") for number in range(200)})
    for _ in range(20):
        await state.collection.refresh()
    assert state.shown() == state.things
    assert state.ended == [before]
    stop()


async def test_an_error_or_an_end_is_followed_by_all() -> None:
    state = Group()
    state.put({"a": ("u", "x")})
    await state.collection.refresh()
    stop = state.collection.range.subscribe(lambda _: None, RESOURCE, CLUSTER)

    def fail() -> None:
        raise LookupError("damaged")

    state.meanwhile = [fail]
    state.put({"a": ("u", "y")})
    with pytest.raises(LookupError):
        await state.collection.refresh()
    await state.settled()
    assert state.shown() == state.things
    state.put({"a": ("u", "z"), "b": ("u", "x")})
    some = await state.collection.compute()
    state.collection.end()
    assert not state.collection.show(some, state.revision)
    await state.collection.refresh()
    assert state.shown() == state.things
    stop()


async def test_computations_that_are_not_shown_lose_no_change() -> None:
    state = Group()
    await state.collection.refresh()
    stop = state.collection.range.subscribe(lambda _: None, RESOURCE, CLUSTER)
    state.put({"a": ("u", "x")})
    await state.collection.compute()
    first, revision = await state.collection.compute(), state.revision
    state.put({"a": ("u", "x"), "b": ("u", "x")})
    await state.collection.compute()
    assert state.collection.show(first, revision)
    await state.settled()
    assert state.shown() == state.things
    # One that began before there was a subscriber.
    stop()
    state.put({"a": ("u", "y")})
    first, revision = await state.collection.compute(), state.revision
    state.put({"a": ("u", "y"), "c": ("u", "x")})
    stop = state.collection.range.subscribe(lambda _: None, RESOURCE, CLUSTER)
    assert state.collection.show(first, revision)
    await state.settled()
    assert state.shown() == state.things
    stop()


actions = st.one_of(
    things, st.sampled_from(["refresh", "begin", "show first", "show last", "drop", "join", "leave", "change meanwhile"])
)


@given(st.lists(actions, min_size=5, max_size=25), things)
def test_it_shows_the_same_as_if_it_computed_all(script: list[Things | str], last: Things) -> None:
    """`begin`: a computation that is shown later, or never, as those of the task that computes collections."""

    async def run() -> None:
        state = Group()
        await state.collection.refresh()
        range_ = state.collection.range
        then, events = list(range_.list(RESOURCE, CLUSTER)), list[RecordEvent]()
        range_.subscribe(events.extend, RESOURCE, CLUSTER)
        begun: list[tuple[Computed, int]] = []
        stops = []
        for action in (*script, last):
            if isinstance(action, dict):
                state.put(action)
            elif action == "refresh":
                await state.collection.refresh()
            elif action == "begin":
                before = state.revision
                begun.append((await state.collection.compute(), before))
            elif action in ("show first", "show last") and begun:
                state.collection.show(*begun.pop(0 if action == "show first" else -1))
            elif action == "drop" and begun:
                begun.pop()
            elif action == "join":
                stops.append(state.collection.range.subscribe(lambda _: None, RESOURCE, CLUSTER))
            elif action == "leave" and stops:
                stops.pop()()
            elif action == "change meanwhile":
                state.meanwhile = [lambda: state.put({**state.things, "e": ("u", "n")})]
        state.meanwhile = []
        await state.settled()
        for computed, before in begun:
            state.collection.show(computed, before)
        await state.settled()
        assert state.shown() == state.things
        if state.collection.range is range_:
            assert fold(then, events) == state.things

    asyncio.run(run())


@given(st.lists(actions, min_size=5, max_size=25), things)
def test_it_shows_the_same_when_subscribers_come_and_go(script: list[Things | str], last: Things) -> None:
    async def run() -> None:
        state = Group()
        await state.collection.refresh()
        stops = []
        begun: list[tuple[Computed, int]] = []
        for action in (*script, last):
            if isinstance(action, dict):
                state.put(action)
            elif action == "join":
                stops.append(state.collection.range.subscribe(lambda _: None, RESOURCE, CLUSTER))
            elif action == "leave" and stops:
                stops.pop()()
            elif action == "refresh":
                await state.collection.refresh()
            elif action == "begin":
                before = state.revision
                begun.append((await state.collection.compute(), before))
            elif action in ("show first", "show last") and begun:
                state.collection.show(*begun.pop(0 if action == "show first" else -1))
            elif action == "drop" and begun:
                begun.pop()
        await state.settled()
        assert state.shown() == state.things

    asyncio.run(run())
