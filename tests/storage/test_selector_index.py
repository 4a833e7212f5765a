"""Indexes by name and label find what a search through the collection finds, whenever they are made and whatever is written."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.base.cache import size_of
from tenantry.storage import selector_index
from tenantry.storage.index import in_key_order
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Head, Record, RecordEvent
from tenantry.storage.selector_index import NAME, SelectorIndex
from tests.support.waiting import one_turn

RESOURCE = "core/configmaps"
LABEL = "app"
PLACES = [(None, None), ("root", None), ("root", "a"), (None, "a-b")]

keys = st.builds(
    Key,
    cluster=st.sampled_from(["root", "rz"]),
    resource=st.sampled_from([RESOURCE, "core/secrets"]),
    namespace=st.sampled_from(["a", "a-b", "b"]),
    name=st.sampled_from(["x", "x-y", "x.y", "z"]),
)
labels = st.dictionaries(st.sampled_from([LABEL, "tier"]), st.sampled_from(["1", "2", "3"]))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(selector_index, "SMALL", 1)
    yield
    selector_index._kept.clear()


def record(key: Key, version: int = 1, head: Head | None = None) -> Record:
    return Record(key, b"{}", version, head or Head())


def named(number: int, value: str | None = None) -> Record:
    return record(Key("root", RESOURCE, f"n{number % 100}", f"o{number}"), head=Head(labels={LABEL: value or f"v{number}"}))


def write(range_: Range, key: Key, head: Head | None) -> None:
    written = RecordEvent(key, 1, None if head is None else record(key, 1, head), range_.get(key))
    if written.record is not written.previous:
        range_.apply([written])


async def prepared(range_: Range, label: str, cluster: str | None = None, namespace: str | None = None) -> None:
    for _ in range(2):
        await range_.prepare(RESOURCE, label, cluster, namespace)


def assert_found(range_: Range) -> None:
    for cluster, namespace in PLACES:
        everything = range_.list(RESOURCE, cluster, namespace)
        for values in (("1",), ("1", "3"), ("none",), None):
            found = range_.labelled(RESOURCE, LABEL, values, cluster, namespace)
            if found is not None:
                wanted = [
                    each for each in everything if LABEL in each.head.labels and (not values or each.head.labels[LABEL] in values)
                ]
                assert list(found) == wanted, (cluster, namespace, values)
        for name in ("x", "x.y", "none"):
            found = range_.named(RESOURCE, name, cluster, namespace)
            assert found is None or list(found) == [each for each in everything if each.key.name == name]


@given(
    before=st.lists(st.tuples(keys, st.none() | labels), max_size=20),
    during=st.lists(st.tuples(keys, st.none() | labels), max_size=10),
    after=st.lists(st.tuples(keys, st.none() | labels), max_size=20),
    places_max=st.sampled_from([0, 64]),
    selected_max=st.sampled_from([1, 2, 1024]),
)
@settings(max_examples=150, deadline=None)
def test_what_is_found(
    before: list[tuple[Key, dict[str, str] | None]],
    during: list[tuple[Key, dict[str, str] | None]],
    after: list[tuple[Key, dict[str, str] | None]],
    places_max: int,
    selected_max: int,
) -> None:
    async def run() -> None:
        range_ = Range("root", "r", "t")

        def written(writes: list[tuple[Key, dict[str, str] | None]]) -> None:
            for key, found in writes:
                write(range_, key, None if found is None else Head(labels=found))

        written(before)
        waiting = [range_.prepare(RESOURCE, label, *place) for label in (LABEL, NAME) for place in PLACES for _ in range(3)]
        making = asyncio.gather(*waiting)
        for each in during:
            await one_turn()
            written([each])
        await making
        assert_found(range_)
        for each in after:
            written([each])
            assert_found(range_)
        if range_.has_any(RESOURCE, "root") and places_max and selected_max == 1024 and before:
            await prepared(range_, LABEL, "root")
            assert range_.is_indexed(RESOURCE, LABEL, "root")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selector_index, "SMALL", 1)
        patch.setattr(selector_index, "SELECTED_MAX", selected_max)
        patch.setattr("tenantry.storage.index._PLACES_MAX", places_max)
        patch.setattr("tenantry.base.time_slices.PIECE", 1)
        patch.setattr("tenantry.base.time_slices.turns.rest", one_turn)
        asyncio.run(run())
        selector_index._kept.clear()


async def test_an_index_is_made_for_the_second_request() -> None:
    range_ = Range("root", "r", "t")
    range_.load(map(named, range(300)))
    for expected in (False, True, True):
        await range_.prepare(RESOURCE, NAME, "root")
        assert range_.is_indexed(RESOURCE, NAME, "root") is expected
    found = range_.named(RESOURCE, "o7", "root")
    assert found is not None
    assert [each.key.name for each in found] == ["o7"]


async def test_a_small_collection_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector_index, "SMALL", 256)
    range_ = Range("root", "r", "t")
    range_.load(map(named, range(255)))
    await prepared(range_, LABEL, "root")
    assert not range_.is_indexed(RESOURCE, LABEL, "root")
    assert len(selector_index._kept) == 0


async def test_a_common_value_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector_index, "SELECTED_MAX", 100)
    range_ = Range("root", "r", "t")
    range_.load(named(number, "rare" if number < 3 else "common") for number in range(5000))
    await prepared(range_, LABEL, "root")
    assert range_.labelled(RESOURCE, LABEL, ("common",), "root") is None
    found = range_.labelled(RESOURCE, LABEL, ("rare", "none"), "root")
    assert found is not None
    assert [each.key.name for each in found] == ["o0", "o1", "o2"]
    assert selector_index._kept.bytes < 2000


async def test_it_goes_with_its_range() -> None:
    range_ = Range("root", "r", "t")
    range_.load(map(named, range(300)))
    await prepared(range_, LABEL, "root")
    assert len(selector_index._kept) == 1
    range_.freeze()
    assert len(selector_index._kept) == 0
    assert not range_._selectors.made


async def test_one_that_is_evicted_is_no_longer_kept_up_to_date() -> None:
    range_ = Range("root", "r", "t")
    range_.load(map(named, range(300)))
    await prepared(range_, LABEL, "root")
    assert range_._selectors.made
    selector_index._kept.clear()
    assert not range_._selectors.made
    assert range_.labelled(RESOURCE, LABEL, ("v1",), "root") is None


async def test_one_that_grows_is_made_again() -> None:
    range_ = Range("root", "r", "t")
    range_.load(map(named, range(300)))
    await prepared(range_, LABEL, "root")
    number = 300
    while range_.is_indexed(RESOURCE, LABEL, "root"):
        written = named(number)
        range_.apply([RecordEvent(written.key, 1, written, None)])
        number += 1
        assert number < 3000
    await prepared(range_, LABEL, "root")
    assert range_.is_indexed(RESOURCE, LABEL, "root")


async def test_a_collection_has_few() -> None:
    """Whoever selects by many labels makes no write slow."""
    range_ = Range("root", "r", "t")
    range_.load(map(named, range(300)))
    tried = [f"label{number}" for number in range(3 * selector_index.LABELS_MAX)]
    for label in tried:
        await prepared(range_, label, "root")
    assert [label for label in tried if range_.is_indexed(RESOURCE, label, "root")] == tried[-selector_index.LABELS_MAX :]
    await prepared(range_, LABEL, "root", "n1")
    assert range_.is_indexed(RESOURCE, LABEL, "root", "n1")


async def test_one_that_would_be_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selector_index, "_INDEX_BYTES_MAX", 10_000)
    range_ = Range("root", "r", "t")
    range_.load(map(named, range(300)))
    await prepared(range_, LABEL, "root")
    assert not range_.is_indexed(RESOURCE, LABEL, "root")


async def test_a_caller_that_goes_away_leaves_no_half_of_an_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.base.time_slices.turns.rest", one_turn)
    range_ = Range("root", "r", "t")
    range_.load(map(named, range(300)))
    await range_.prepare(RESOURCE, LABEL, "root")
    first = asyncio.ensure_future(range_.prepare(RESOURCE, LABEL, "root"))
    second = asyncio.ensure_future(range_.prepare(RESOURCE, LABEL, "root"))
    await one_turn()
    first.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert first.cancelled()
    assert not range_.is_indexed(RESOURCE, LABEL, "root")
    assert not range_._selectors.made
    await prepared(range_, LABEL, "root")
    assert range_.is_indexed(RESOURCE, LABEL, "root")


@pytest.mark.parametrize("shared", [1, 2, 10])
async def test_its_bytes_are_counted(shared: int) -> None:
    """Not those of keys and values, which the objects have anyway."""
    records = [named(number, f"v{number // shared}") for number in range(20_000)]
    index = SelectorIndex(LABEL)
    await index.fill(records)
    gc.collect()
    own = sys.getsizeof(index._keys) + sum(map(sys.getsizeof, index._keys.values()))
    assert own <= index.bytes <= 2 * own
    assert size_of(index) > own
    assert sorted(index.find(("v3",)) or (), key=in_key_order) == sorted(
        (each.key for each in records[3 * shared : 4 * shared]), key=in_key_order
    )
