"""Copies of objects that were there before, and what happens while they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from tenantry.storage.keys import Key, catalog_key
from tenantry.storage.record import Change
from tenantry.tenancy.replication import cached_resource_controller, publications, replicated_copies
from tenantry.tenancy.replication.publications import REPLICATED
from tenantry.tenancy.replication.replicated_copies import ReplicatedCopies
from tests.support.one_process import running
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard
from tests.tenancy.replication.county import CACHE, PROVIDER, SHERIFFS, County, bound_county, cached_resource, county
from tests.virtual.watching import Watch

CACHED = f"{CACHE}/clustercachedresources"
STORED = "wild.dev/sheriffs"


def stars(made: County) -> dict[str, str]:
    """Name → star of every copy, as the other shard has them."""
    catalog = made.there.tenancy.catalog
    return {
        name: copy.object["spec"]["star"]
        for group, _ in catalog.names(REPLICATED)
        for name, copy in catalog.entries(REPLICATED, group)
    }


async def starred(made: County, **expected: str) -> None:
    async def same() -> bool:
        return stars(made) == expected

    await made.after(same)


class Gate:
    """Makes a method wait for `open`, before it runs or after."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, method: str, *, after: bool = False) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        original: Callable[..., Any] = getattr(ReplicatedCopies, method)

        async def gated(*args: Any, **kwargs: Any) -> Any:
            result = await original(*args, **kwargs) if after else None
            self.reached.set()
            await self.open.wait()
            return result if after else await original(*args, **kwargs)

        monkeypatch.setattr(ReplicatedCopies, method, gated)


async def write_without_copy(made: County, name: str, star: str | None) -> None:
    key = Key(PROVIDER, STORED, "", name)
    record = made.here.cell.range_of(PROVIDER).get(key)
    assert record is not None
    if star is None:
        await made.here.cell.commit([Change(key, None, None, record)])
    else:
        value = {**orjson.loads(record.value), "spec": {"star": star}}
        await made.here.cell.commit([Change(key, orjson.dumps(value), record.head, record)])


async def test_who_watches_the_objects_sees_nothing() -> None:
    async with county() as made:
        await made.sheriff("doc")
        before = made.here.get(PROVIDER, STORED, "doc")
        record = made.here.cell.range_of(PROVIDER).get(Key(PROVIDER, STORED, "", "doc"))
        async with Watch(made.here, f"/clusters/{PROVIDER}{SHERIFFS}", MASTER) as watch:
            assert await watch.next() == ("ADDED", "doc")
            await made.replicate()
            await starred(made, doc="tin")
            assert made.counts() == (1, 1)
            await made.delete(f"{CACHED}/sheriffs")
            await starred(made)
            await made.sheriff("wyatt")
            assert await watch.next() == ("ADDED", "wyatt")
        assert made.here.get(PROVIDER, STORED, "doc") == before
        assert made.here.cell.range_of(PROVIDER).get(Key(PROVIDER, STORED, "", "doc")) is record


async def test_the_first_copies_keep_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publications, "OBJECTS_MAX", 2)
    async with county() as made:
        for name in ("a", "b", "c", "d"):
            await made.sheriff(name)
        await made.replicate()
        await made.here.until(lambda: made.conditions().get("ReplicationComplete") == ("False", "LimitExceeded"))
        await starred(made, a="tin", b="tin")
        assert made.counts() == (2, 4)


async def test_an_object_keeps_its_place_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    async with county() as made:
        await made.sheriff("a")
        await made.sheriff("b")
        await made.replicate()
        await starred(made, a="tin", b="tin")
        # As after many writes at once, which may exceed the limits together.
        monkeypatch.setattr(publications, "OBJECTS_MAX", 1)
        await made.merge(f"{SHERIFFS}/a", {"spec": {"star": "golden"}})
        await starred(made, a="golden", b="tin")
        monkeypatch.setattr(publications, "BYTES_MAX", 1)
        await made.merge(f"{SHERIFFS}/b", {"spec": {"star": "ash"}})
        await starred(made, a="golden", b="ash")
        await made.merge(f"{SHERIFFS}/b", {"spec": {"star": "golden"}})
        await starred(made, a="golden")


async def test_objects_without_room_do_not_occupy_the_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publications, "OBJECTS_MAX", 0)
    monkeypatch.setattr(cached_resource_controller, "RECOUNT_SECONDS", 0.0)
    monkeypatch.setattr(cached_resource_controller, "RECOUNT_SHARE", 1e9)
    looks = 0
    run = ReplicatedCopies.run

    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal looks
        looks += 1
        return await run(*args, **kwargs)

    monkeypatch.setattr(ReplicatedCopies, "run", counted)
    async with county() as made:
        await made.sheriff("a")
        await made.replicate()
        for name in ("b", "c", "d"):
            await made.sheriff(name)
        assert (looks, made.counts()) == (1, (0, 1))
        # Its identity does not wait for the next look.
        other = {"secretRef": {"namespace": "kcp-system", "name": "other"}}
        await made.merge(f"{CACHED}/sheriffs", {"spec": {"identity": other}})
        await made.here.until(lambda: made.conditions()["IdentityValid"] == ("False", "IdentityVerificationFailed"))
        assert looks == 1
        # A change of the spec is obeyed at once.
        await made.merge(
            f"{CACHED}/sheriffs", {"spec": {"labelSelector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}}}
        )
        await made.here.until(lambda: made.counts() == (0, 4))
        assert looks == 2


async def test_a_resource_that_comes_back_has_no_old_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bound_county() as made:
        await made.shows("doc", "wyatt")
        async with Watch(made.there, f"/clusters/900consumer00000{SHERIFFS}", MASTER) as watch:
            assert [await watch.next(), await watch.next()] == [("ADDED", "doc"), ("ADDED", "wyatt")]
        gate = Gate(monkeypatch, "evict")
        await made.merge(f"{CACHED}/sheriffs", {"spec": {"resource": "unknowns"}})
        await gate.reached.wait()
        # A write while the resource is not replicated leaves its copy as it is.
        await made.merge(f"{SHERIFFS}/doc", {"spec": {"star": "gold"}})
        await made.delete(f"{SHERIFFS}/wyatt")
        assert stars(made) == {"doc": "tin", "wyatt": "tin"}
        await made.merge(f"{CACHED}/sheriffs", {"spec": {"resource": "sheriffs"}})
        gate.open.set()
        await starred(made, doc="gold")
        await made.here.until(lambda: made.counts() == (1, 1))


async def test_copies_that_came_back_are_not_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with county() as made:
        await made.sheriff("doc")
        await made.replicate()
        await starred(made, doc="tin")
        copied = made.here.tenancy.catalog.entries(REPLICATED, next(iter(made.here.tenancy.catalog.names(REPLICATED)))[0])
        gate = Gate(monkeypatch, "evict")
        await made.merge(f"{CACHED}/sheriffs", {"spec": {"resource": "unknowns"}})
        await gate.reached.wait()
        await made.merge(f"{CACHED}/sheriffs", {"spec": {"resource": "sheriffs"}})
        look = Gate(monkeypatch, "run")
        gate.open.set()
        await look.reached.wait()
        group = next(iter(made.here.tenancy.catalog.names(REPLICATED)))[0]
        assert made.here.tenancy.catalog.entries(REPLICATED, group) == copied
        look.open.set()


async def test_a_write_of_before_that_is_committed_late_gets_its_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its copies are those of the spec that was there when it was submitted."""
    async with county() as made:
        await made.sheriff("doc")
        await made.sheriff("wyatt")
        gate = Gate(monkeypatch, "run", after=True)
        await made.post(CACHED, cached_resource())
        await gate.reached.wait()
        await starred(made, doc="tin", wyatt="tin")
        await write_without_copy(made, "doc", "gold")
        await write_without_copy(made, "wyatt", None)
        gate.open.set()
        await starred(made, doc="gold")
        await made.here.until(lambda: made.counts() == (1, 1))


async def test_a_copy_without_an_object_is_removed() -> None:
    async with county() as made:
        await made.sheriff("doc")
        await made.replicate()
        await starred(made, doc="tin")
        group, _ = next(iter(made.here.tenancy.catalog.names(REPLICATED)))
        place = catalog_key(REPLICATED, group, "ghost")
        await made.here.cell.commit(
            (), copies=[Change(Key(PROVIDER, STORED, "", "ghost"), None, None, None, {place: b'{"spec":{"star":""}}'})]
        )
        await starred(made, doc="tin", ghost="")
        await made.merge(f"{CACHED}/sheriffs", {"spec": {"labelSelector": {"matchExpressions": []}}})
        await made.merge(
            f"{CACHED}/sheriffs", {"spec": {"labelSelector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}}}
        )
        await starred(made, doc="tin")


async def test_a_deleted_workspace_leaves_no_copies(tmp_path: Path) -> None:
    async with running(tmp_path) as stack:
        cluster = await stack.workspace("root", "provider")
        roles = cached_resource("roles", group="rbac.authorization.k8s.io", version="v1", resource="clusterroles")
        assert (await stack.call("POST", f"/clusters/{cluster}{CACHED}", body=roles))[0] == 201
        catalog = stack.tenancy.catalog
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "look"}, "rules": []}
        place = f"/clusters/{cluster}/apis/rbac.authorization.k8s.io/v1/clusterroles"
        assert (await stack.call("POST", place, body=role))[0] == 201

        async def copied() -> bool:
            return any("look" in names for _, names in catalog.names(REPLICATED))

        await stack.eventually(copied)
        path = "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/provider"
        assert (await stack.call("DELETE", path))[0] == 200

        async def gone() -> bool:
            return (await stack.call("GET", path))[0] == 404

        await stack.eventually(gone)
        assert list(catalog.names(REPLICATED)) == []


async def test_a_new_owner_ends_what_the_one_before_began(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicated_copies, "BATCH", 1)
    async with county() as made:
        for name in ("a", "b", "c"):
            await made.sheriff(name)
        gate = Gate(monkeypatch, "_write", after=True)
        await made.post(CACHED, cached_resource())
        await gate.reached.wait()
        await starred(made, a="tin")
        assert "internal.cache.kcp.io/replicated" not in (made.cached()["metadata"].get("annotations") or {})
    gate.open.set()
    async with ServedShard(store=made.here.store) as again:
        await again.until(
            lambda: (
                (again.get(PROVIDER, "cache.kcp.io/clustercachedresources", "sheriffs") or {})
                .get("status", {})
                .get("resourceCounts")
                == {"cache": 3, "local": 3}
            )
        )
