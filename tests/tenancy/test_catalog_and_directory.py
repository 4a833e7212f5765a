"""Copies as a shard follows them, and paths as it resolves them."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.base.cache import caches
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog, Entry
from tenantry.placement.directory import Directory
from tenantry.placement.map import RangeInfo
from tenantry.storage.keys import CATALOG, Key, catalog_key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.record import Change
from tenantry.storage.store import Delete, Put
from tenantry.tenancy.resources import API_EXPORTS, WORKSPACES
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


class OneRange:
    def ranges(self) -> list[RangeInfo]:
        return [
            RangeInfo(name="range-2", start="000", end="001", shard="s1"),
            RangeInfo(name="root", start="r", end="t", shard="s1"),
        ]

    def subscribe(self, callback: object) -> object:
        return lambda: None


def directory_of(workspaces: dict[tuple[str, str], Object]) -> tuple[Catalog, Directory]:
    catalog = Catalog(MemoryStore())
    directory = Directory(catalog, OneRange(), "https://x")  # type: ignore[arg-type]
    directory.start()
    for number, ((parent, name), projection) in enumerate(workspaces.items()):
        catalog.committed(number + 1, [change({catalog_key(WORKSPACES, parent, name): orjson.dumps(projection)})])
    return catalog, directory


def test_paths_are_walked_from_any_cluster() -> None:
    _, directory = directory_of({("root", "org"): {"cluster": "000a"}, ("000a", "team"): {"cluster": "raaa"}})
    assert directory.cluster_of("root:org:team") == "raaa"
    assert directory.cluster_of("000a:team") == "raaa"
    assert directory.path_of("raaa") == "root:org:team"
    assert directory.resolve("root:org") == ("000a", "range-2", "s1", "https://x/ranges/range-2", 1)
    assert directory.tenants("root") == directory.tenants("range-2") == 1
    assert directory.cluster_of("system:admin") == "system:admin"
    assert directory.path_of("elsewhere") is None


@pytest.mark.parametrize(
    ("path", "code"), [("root:no", 404), ("ROOT", 400), ("root:", 400), ("", 400), ("zzz", 404), ("a b", 400)]
)
def test_what_is_nowhere_is_not_found_and_what_is_no_path_is_bad(path: str, code: int) -> None:
    _, directory = directory_of({})
    with pytest.raises(StatusError) as refused:
        directory.resolve(path)
    assert refused.value.code == code


def test_an_unavailable_workspace_is_503() -> None:
    _, directory = directory_of({("root", "org"): {"cluster": "000a", "phase": "Unavailable"}})
    with pytest.raises(StatusError) as refused:
        directory.resolve("root:org")
    assert refused.value.code == 503


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, "000a", "000b", "rc"])), max_size=20))
@settings(max_examples=60, deadline=None)
def test_tenants_are_counted_as_they_come_and_go(steps: list[tuple[str, str | None]]) -> None:
    catalog, directory = directory_of({})
    now: dict[str, str] = {}
    for number, (name, cluster) in enumerate(steps):
        if cluster in now.values():
            continue
        key = catalog_key(WORKSPACES, "root", name)
        raw = orjson.dumps({"cluster": cluster}) if cluster else None
        catalog.committed(number + 1, [change({key: raw})])
        now.pop(name, None)
        if cluster:
            now[name] = cluster
    assert directory.tenants("range-2") == sum(c.startswith("000") for c in now.values())
    assert directory.tenants("root") == sum(c.startswith("r") for c in now.values())
    for name, cluster in now.items():
        assert directory.parent_of(cluster) == ("root", name)


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
    assert "left out" in caplog.text and "ZeroDivisionError" in caplog.text
    await catalog.stop()


def test_decoded_copies_are_bounded() -> None:
    entries = [Entry(orjson.dumps({"data": [{} for _ in range(20_000)], "number": number}), 1) for number in range(60)]
    for entry in entries:
        assert entry.object is entry.object
    (cache,) = (cache for cache in caches() if cache.name == "catalog_objects")
    assert 0 < cache.bytes <= cache.bytes_max
    assert len(cache) < len(entries)
