"""Copies as a process follows them."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from tenantry.base.cache import caches
from tenantry.kube.objects import Object
from tenantry.placement.catalog import Catalog, Entry
from tenantry.storage.keys import CATALOG, Key, catalog_key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.record import Change
from tenantry.storage.store import Delete, Put
from tenantry.tenancy.resources import API_EXPORTS
from tests.support.patience import PATIENCE_SECONDS


def put(resource: str, cluster: str, name: str, obj: Object) -> Put:
    return Put(catalog_key(resource, cluster, name), orjson.dumps(obj))


def change(copies: dict[bytes, bytes | None]) -> Change:
    return Change(Key("root", API_EXPORTS, "", "x"), None, None, None, copies)


class Recorded:
    def __init__(self, catalog: Catalog) -> None:
        self.calls: list[tuple[str, str, object]] = []
        self.called = asyncio.Event()
        catalog.subscribe(API_EXPORTS, self._changed)

    def _changed(self, resource: str, cluster: str, name: str, obj: Object | None) -> None:
        self.calls.append((cluster, name, obj))
        self.called.set()

    async def next(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self.called.wait()
        self.called.clear()


async def test_the_catalog_holds_what_was_there_and_follows_what_comes() -> None:
    store = MemoryStore()
    await store.commit([], [put(API_EXPORTS, "root", "a", {"n": 1})], [])
    catalog = Catalog(store)
    await catalog.start()
    recorded = Recorded(catalog)
    assert catalog.get(API_EXPORTS, "root", "a") == {"n": 1}
    await store.commit([], [put(API_EXPORTS, "other", "b", {"n": 2})], [])
    await recorded.next()
    assert sorted((c, n) for c, n, _ in catalog.list(API_EXPORTS)) == [("other", "b"), ("root", "a")]
    await store.commit([], [], [Delete(catalog_key(API_EXPORTS, "root", "a"))])
    await recorded.next()
    assert catalog.get(API_EXPORTS, "root", "a") is None
    assert not catalog.has_any(API_EXPORTS, "root")
    assert recorded.calls == [("other", "b", {"n": 2}), ("root", "a", None)]
    await catalog.stop()


async def test_own_commits_are_known_at_once_and_their_echo_is_no_news() -> None:
    store = MemoryStore()
    catalog = Catalog(store)
    await catalog.start()
    recorded = Recorded(catalog)
    key = catalog_key(API_EXPORTS, "root", "a")
    revision = await store.commit([], [Put(key, b'{"n":1}')], [])
    catalog.committed(revision, [change({key: b'{"n":1}'})])
    assert catalog.get(API_EXPORTS, "root", "a") == {"n": 1}
    revision = await store.commit([], [], [Delete(key)])
    catalog.committed(revision, [change({key: None})])
    await store.commit([], [put(API_EXPORTS, "root", "end", {})], [])
    while not recorded.calls or recorded.calls[-1][1] != "end":
        await recorded.next()
    assert recorded.calls == [("root", "a", {"n": 1}), ("root", "a", None), ("root", "end", {})]
    await catalog.stop()


async def test_a_subscriber_that_raises_and_a_key_that_cannot_be_read_do_not_stop_the_catalog(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    catalog = Catalog(store)

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    catalog.subscribe(None, broken)
    catalog.subscribe(API_EXPORTS, broken)
    await catalog.start()
    recorded = Recorded(catalog)
    await store.commit([], [Put(f"{CATALOG}apis.kcp.io/apiexports".encode(), b"{}")], [])
    await store.commit([], [put(API_EXPORTS, "root", "a", {"n": 1})], [])
    await recorded.next()
    await store.commit([], [put(API_EXPORTS, "root", "b", {"n": 2})], [])
    await recorded.next()
    assert [name for _, name, _ in recorded.calls] == ["a", "b"]
    assert catalog.following
    assert "skipping an unreadable key" in caplog.text and "ZeroDivisionError" in caplog.text
    await catalog.stop()


def test_indexes_are_up_to_date_when_subscribers_are_called() -> None:
    catalog = Catalog(MemoryStore())
    indexed: set[str] = set()
    seen: list[bool] = []
    catalog.subscribe(None, lambda resource, cluster, name, obj: seen.append(name in indexed))
    catalog.subscribe(API_EXPORTS, lambda resource, cluster, name, obj: seen.append(name in indexed))
    catalog.index(API_EXPORTS, lambda resource, cluster, name, obj: indexed.add(name))
    catalog.committed(1, [change({catalog_key(API_EXPORTS, "root", "a"): b"{}"})])
    assert seen == [True, True]


async def test_copies_of_a_cluster_are_tallied() -> None:
    store = MemoryStore()
    await store.commit([], [Put(catalog_key("t/things", "one", "a"), b"{}")], [])
    catalog = Catalog(store, tallied=("t/things",))
    groups: list[tuple[str, bool]] = []
    catalog.index_tallies("t/things", lambda cluster, exists: groups.append((cluster, exists)))
    await catalog.start()
    seen: list[tuple[int, int]] = []

    def tally() -> tuple[int, int]:
        return catalog.tally("t/things", "one")[:2]

    stop = catalog.follow_tally("t/things", "one", lambda _: seen.append(tally()))
    assert tally() == (1, 2)
    changes = {catalog.tally("t/things", "one").change}
    for revision, (name, value) in enumerate([("b", b"{} "), ("a", b"[   ]"), ("b", None), ("a", None)], 10):
        catalog.committed(revision, [change({catalog_key("t/things", "one", name): value})])
        changes.add(catalog.tally("t/things", "one").change)
        assert catalog.tally("t/things", "one").revision == (revision if tally()[0] else 0)
    catalog.committed(20, [change({catalog_key("t/things", "two", "x"): b"{}", catalog_key(API_EXPORTS, "one", "x"): b"{}"})])
    stop()
    catalog.committed(21, [change({catalog_key("t/things", "one", "z"): b"{}"})])
    assert seen == [(2, 5), (2, 8), (1, 5), (0, 0)]
    assert len(changes) == 5, "each state has a number of its own"
    assert groups == [("one", True), ("one", False), ("two", True), ("one", True)]
    assert [(name, entry.raw) for name, entry in catalog.entries("t/things", "two")] == [("x", b"{}")]
    await catalog.stop()


def test_decoded_copies_are_bounded() -> None:
    entries = [Entry(orjson.dumps({"data": [{} for _ in range(20_000)], "number": number}), 1) for number in range(60)]
    for entry in entries:
        assert entry.object is entry.object
    (cache,) = (cache for cache in caches() if cache.name == "catalog_objects")
    assert 0 < cache.bytes <= cache.bytes_max
    assert len(cache) < len(entries)
