"""A collection shows what was computed, and its watches tell every change of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.storage import resource_version
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range, TooOld
from tenantry.storage.record import Head, Record, RecordEvent
from tenantry.tenancy.computed.collection import Collection
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources
from tests.support.waiting import until

RESOURCE = "example.io/things"
CLUSTER = "rconsumer0000000"
CELL = 3
Things = dict[str, tuple[str, str]]
"""Name → (uid, content)."""


class World(Sources):
    """What a collection is computed from: things that the test changes, each time at a revision."""

    def __init__(self, state: State) -> None:
        super().__init__(state.base, state.catalog)
        self.state = state
        self.things = dict(state.things)
        self.newest = state.revision

    def are_current(self) -> bool:
        return self.things == self.state.things


class State:
    """The upkeep of one collection."""

    def __init__(self) -> None:
        self.base = Range("root", "r", "t", version=1)
        self.catalog = Catalog(MemoryStore())
        self.things: Things = {}
        self.revision = 1
        self.changed: set[Callable[[str], None]] = set()
        self.waiting: list[Collection] = []
        self.ended: list[Range] = []
        self.computed = 0
        self.meanwhile: list[Callable[[], None]] = []
        """What happens while the collection is computed the next times."""
        self.collection = Collection(self, CELL, self.base, CLUSTER, ("root", "things", ()), self.compute)

    def compute(self, sources: Sources) -> Iterator[ComputedRecord | None]:
        assert isinstance(sources, World)
        self.computed += 1
        for name, (uid, content) in sources.things.items():
            value = b'{"metadata":{"name":"%b"},"content":"%b"}' % (name.encode(), content.encode())
            yield ComputedRecord(RESOURCE, "", name, value, Head(uid), sources.newest)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        yield None

    def put(self, things: Things) -> None:
        self.revision += 1
        before, self.things = self.things, things
        for changed in list(self.changed):
            for name in sorted(before.keys() | things.keys()):
                if before.get(name) != things.get(name):
                    changed(name)

    def sources(self, range_: Range) -> World:
        return World(self)

    async def complete_revision(self) -> int:
        return self.revision

    def follow(self, sources: Sources, range_: Range, changed: Callable[[str], None]) -> Callable[[], None]:
        self.changed.add(changed)
        return lambda: self.changed.discard(changed)

    def refresh_soon(self, collection: Collection) -> None:
        self.waiting.append(collection)

    def keep(self, collection: Collection) -> None:
        pass

    def end_streams(self, range_: Range) -> None:
        self.ended.append(range_)

    async def moved(self, version: int) -> None:
        await until(lambda: self.revision >= resource_version.revision_of(version))


def shown(records: object) -> Things:
    assert isinstance(records, list | tuple)
    return {record.key.name: (record.head.uid, record.value.split(b'"')[-2].decode()) for record in records}


def fold(records: list[Record], events: list[RecordEvent]) -> Things:
    now = {record.key: record for record in records}
    for event in events:
        if event.record is None:
            assert now.pop(event.key) is event.previous
        else:
            assert now.get(event.key) is event.previous, "a change begins with what was there"
            assert event.record.version == event.version
            now[event.key] = event.record
    return shown(list(now.values()))


names = st.sampled_from("abcde")
things = st.dictionaries(names, st.tuples(st.sampled_from("uv"), st.sampled_from("xyz")), max_size=5)


@given(st.lists(things, min_size=1, max_size=8))
def test_a_list_and_the_events_after_it_give_the_present(worlds: list[Things]) -> None:
    async def run() -> None:
        state = State()
        known: list[tuple[int, list[Record]]] = []
        for world in worlds:
            state.put(world)
            await state.collection.refresh()
            range_ = state.collection.range
            known.append((range_.version, list(range_.list(RESOURCE, CLUSTER))))
            assert shown(known[-1][1]) == world
            assert [record.key.name for record in known[-1][1]] == sorted(world)
        range_ = state.collection.range
        versions = [version for version, _ in known]
        assert versions == sorted(versions)
        for version, then in known:
            events = list(range_.events_after(version, RESOURCE, CLUSTER))
            assert [each.version for each in events] == sorted({each.version for each in events})
            assert list(range_.list_at(version, RESOURCE, CLUSTER)) == then
            assert fold(then, events) == worlds[-1]
            # A watch that is cut off between two events resumes there.
            for at, event in enumerate(events, 1):
                between = list(range_.list_at(event.version, RESOURCE, CLUSTER))
                assert fold(between, list(range_.events_after(event.version, RESOURCE, CLUSTER))) == worlds[-1]
                assert list(range_.events_after(event.version, RESOURCE, CLUSTER)) == events[at:]
        with pytest.raises(TooOld):
            range_.events_after(known[0][0] - 1, RESOURCE, CLUSTER)

    asyncio.run(run())


async def test_versions_are_revisions_of_the_store() -> None:
    state = State()
    state.put({"a": ("u", "x"), "b": ("u", "x")})
    await state.collection.refresh()
    range_ = state.collection.range
    assert range_.version == resource_version.end_of_revision(CELL, 2)
    assert {record.version for record in range_.list(RESOURCE, CLUSTER)} == {resource_version.make(CELL, 2, 0)}
    state.put({"a": ("u", "x"), "b": ("u", "y")})
    await state.collection.refresh()
    assert range_ is state.collection.range
    a, b = range_.list(RESOURCE, CLUSTER)
    assert a.version == resource_version.make(CELL, 2, 0), "what did not change keeps its version"
    assert b.version == range_.version == resource_version.end_of_revision(CELL, 3)


async def test_nothing_is_computed_while_nothing_changes() -> None:
    state = State()
    await state.collection.refresh()
    await state.collection.refresh()
    assert state.computed == 1
    state.revision += 5
    await state.collection.refresh()
    assert (state.computed, resource_version.revision_of(state.collection.range.version)) == (1, 1)
    await state.collection.reached(resource_version.make(CELL, 4, 0))
    assert (state.computed, resource_version.revision_of(state.collection.range.version)) == (1, 6)


async def test_a_change_during_the_computation_is_not_missed() -> None:
    state = State()
    state.put({"a": ("u", "x")})
    state.meanwhile = [lambda: state.put({"b": ("u", "y")}), lambda: None]
    await state.collection.refresh()
    assert shown(state.collection.range.list(RESOURCE, CLUSTER)) == {"b": ("u", "y")}
    assert resource_version.revision_of(state.collection.range.version) == 3


async def test_sources_that_change_all_the_time_are_shown_and_computed_again() -> None:
    state = State()
    stop = None
    await state.collection.refresh()
    stop = state.collection.range.subscribe(lambda _: None, RESOURCE, CLUSTER)
    count = iter(range(1000))
    state.meanwhile = [lambda: state.put({"a": ("u", f"n{next(count)}")})] * 20
    state.put({"a": ("u", "x")})
    await state.collection.refresh()
    assert not state.collection.is_current
    assert state.waiting[-1] is state.collection
    state.meanwhile.clear()
    await state.collection.refresh()
    assert shown(state.collection.range.list(RESOURCE, CLUSTER)) == state.things
    stop()
    assert not state.changed


async def test_objects_that_were_read_at_once_are_shown_while_they_change() -> None:
    state = State()
    state.collection = Collection(state, CELL, state.base, CLUSTER, ("root", "things", ()), state.compute, at_once=True)
    await state.collection.refresh()
    stop = state.collection.range.subscribe(lambda _: None, RESOURCE, CLUSTER)
    state.meanwhile = [lambda: state.put({"a": ("u", "later")})]
    state.put({"a": ("u", "x")})
    computed = state.computed
    await state.collection.refresh()
    assert state.computed == computed + 1
    assert shown(state.collection.range.list(RESOURCE, CLUSTER)) == {"a": ("u", "x")}
    assert not state.collection.is_current and state.waiting[-1] is state.collection
    await state.collection.refresh()
    assert shown(state.collection.range.list(RESOURCE, CLUSTER)) == state.things
    stop()


async def test_objects_of_a_later_revision_wait_for_it() -> None:
    state = State()
    state.collection = Collection(state, CELL, state.base, CLUSTER, ("root", "things", ()), state.compute, at_once=True)
    await state.collection.refresh()
    state.things = {"a": ("u", "x")}
    computed = await state.collection.compute()
    assert not state.collection.show(computed, state.revision)
    assert not state.collection.range.list(RESOURCE, CLUSTER)
    assert state.collection.show(computed, state.revision + 1)
    assert shown(state.collection.range.list(RESOURCE, CLUSTER)) == state.things


async def test_it_follows_its_sources_while_it_has_subscribers() -> None:
    state = State()
    await state.collection.refresh()
    got: list[RecordEvent] = []
    assert not state.changed
    stop = state.collection.range.subscribe(got.extend, RESOURCE, CLUSTER)
    assert state.changed
    state.put({"a": ("u", "x")})
    assert state.waiting == [state.collection]
    await state.collection.refresh()
    assert [(event.key.name, event.previous) for event in got] == [("a", None)]
    stop()
    stop()
    assert not state.changed and not state.collection.followed


async def test_an_object_that_was_replaced_is_deleted_and_added() -> None:
    state = State()
    state.put({"a": ("u", "x")})
    await state.collection.refresh()
    version = state.collection.range.version
    state.put({"a": ("v", "x")})
    await state.collection.refresh()
    gone, new = state.collection.range.events_after(version, RESOURCE)
    assert gone.record is None and new.previous is None and new.record is not None
    assert new.record.head.uid == "v"


async def test_more_changes_than_versions_end_the_watches() -> None:
    state = State()
    await state.collection.refresh()
    before = state.collection.range
    state.put({f"n{number:03}": ("u", "x") for number in range(128)})
    await state.collection.refresh()
    assert state.collection.range is before, "a revision has that many"
    state.put({f"n{number:03}": ("u", "y") for number in range(128)} | {"more": ("u", "x")})
    await state.collection.refresh()
    after = state.collection.range
    assert state.ended == [before] and not before.readable
    with pytest.raises(TooOld):
        after.events_after(before.version, RESOURCE)
    assert len(after.list(RESOURCE, CLUSTER)) == 129


async def test_a_released_base_refuses() -> None:
    state = State()
    await state.collection.refresh()
    range_ = state.collection.range
    state.base.freeze()
    assert not range_.readable
    state.put({"a": ("u", "x")})
    with pytest.raises(StatusError, match="not served by this shard now"):
        await state.collection.refresh()
    state.collection.end()
    assert state.ended == [range_]


async def test_an_error_leaves_it_to_be_computed_again() -> None:
    state = State()
    await state.collection.refresh()
    stop = state.collection.range.subscribe(lambda _: None, RESOURCE, CLUSTER)

    def fail() -> None:
        raise LookupError("damaged")

    state.meanwhile = [fail]
    state.put({"a": ("u", "x")})
    with pytest.raises(LookupError):
        await state.collection.refresh()
    assert not state.collection.is_current
    await state.collection.refresh()
    assert shown(state.collection.range.list(RESOURCE, CLUSTER)) == {"a": ("u", "x")}
    stop()
