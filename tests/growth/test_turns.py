"""What works in the background is given a range of any size, and never takes more than so many lines of one turn of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

import orjson
import pytest

from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.controllers.controller import Controller
from tenantry.controllers.listing import Listings
from tenantry.controllers.queue import WorkQueue
from tenantry.http.certificates import CertificateAuthority
from tenantry.kube.objects import Object
from tenantry.storage.backfill import backfill_range
from tenantry.storage.keys import Key
from tenantry.storage.load import load_range
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range
from tenantry.storage.record import Head, Record, RecordEvent
from tenantry.storage.store import Put
from tenantry.tenancy.controllers.certificate_request_expiry import CertificateRequestExpiry
from tenantry.tenancy.controllers.event_expiry import EventExpiry
from tenantry.tenancy.controllers.garbage_collector import GarbageCollector
from tenantry.tenancy.controllers.namespace_deletion import NamespaceDeletionController
from tenantry.tenancy.exports.binding_index import BindingIndex
from tenantry.tenancy.exports.hashing import EXPORT_LABEL
from tenantry.tenancy.resources import (
    API_BINDINGS,
    API_EXPORT_ENDPOINT_SLICES,
    API_EXPORTS,
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    LOGICAL_CLUSTERS,
    NAMESPACES,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICE_ACCOUNTS,
    STORAGE_VERSION_MIGRATIONS,
    WORKSPACE_TYPES,
    WORKSPACES,
)
from tenantry.tenancy.workspaces.logical_cluster_deletion import LogicalClusterDeletion
from tests.growth.meter import lines
from tests.growth.turns import Turn, counted_turns
from tests.support.clusters import CLUSTER, ServedCluster
from tests.support.waiting import until

MANY = 600
LINES_OF_A_TURN = 400
"""Whoever looks at all objects in one turn runs more lines than there are objects."""
LINES_OF_AN_EVENT = 300
MANY_MORE = 2_000
LINES_OF_A_WRITE = 6_000
"""One object is written, or a hundred are read from one revision of the store; of so many more objects it is a fraction."""
LINES_OF_A_TRANSACTION = 25_000
"""A hundred objects are submitted, and applied, at once."""
NAMESPACED = frozenset({CONFIG_MAPS, EVENTS, RESOURCE_QUOTAS, SECRETS, SERVICE_ACCOUNTS})
RESOURCES = (
    API_BINDINGS,
    API_EXPORTS,
    API_EXPORT_ENDPOINT_SLICES,
    CERTIFICATE_SIGNING_REQUESTS,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    EVENTS,
    LOGICAL_CLUSTERS,
    NAMESPACES,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICE_ACCOUNTS,
    STORAGE_VERSION_MIGRATIONS,
    WORKSPACES,
    WORKSPACE_TYPES,
)
CONTENT: Object = {
    "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
    "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
    "spec": {"group": "g", "names": {"plural": "p", "kind": "K"}, "permissionClaims": [{}]},
}


def record(resource: str, name: str, cluster: str = CLUSTER, **head: Any) -> Record:
    key = Key(cluster, resource, "default" if resource in NAMESPACED else "", name)
    labels = {EXPORT_LABEL: "consumed", "a": "b"}
    value = orjson.dumps({**CONTENT, "metadata": {**CONTENT["metadata"], "name": name, "labels": labels}})
    return Record(key, value, 1, Head(f"uid-{name}", labels, **head))


def crowd(resource: str) -> Iterator[Record]:
    """Half of them in one cluster, and one each in others."""
    for number in range(MANY // 2):
        yield record(resource, f"n{number}")
        yield record(resource, "cluster", f"r{number:015}")


@asynccontextmanager
async def bare_shard() -> AsyncIterator[ServedCluster]:
    """Nothing runs in it by itself."""
    async with ServedCluster(signer=ClusterAuthority(CertificateAuthority.create())) as shard:
        await shard.tenancy.runner.stop()
        shard.tenancy.runner.add(*shard.tenancy.workspace_controllers())
        yield shard


def attached(controller: Controller[Any], range_: Range | None = None) -> tuple[WorkQueue[Any], Listings[Any]]:
    """A queue without a bound, and listings, that the controller has from now on."""
    queue = WorkQueue[Any](controller.cluster_of, keys_max=1 << 30, range_of=lambda cluster: range_)
    listings = Listings(controller.name, queue)
    controller.attach(queue, listings)
    return queue, listings


async def finished(listings: Listings[Any]) -> None:
    await until(lambda: listings.idle)


def assert_short(turn: Turn, most: int = LINES_OF_A_TURN) -> None:
    assert 0 < turn.longest < most, f"{turn.longest} lines in one turn, most of them in {turn.where}"


def controllers_of(shard: ServedCluster) -> Sequence[Controller[Any]]:
    return shard.tenancy.runner.controllers


async def test_a_range_that_comes_is_gone_through_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bare_shard() as shard:
        range_ = shard.cell.range_of(CLUSTER)
        for resource in RESOURCES:
            range_.load(crowd(resource))
        for controller in controllers_of(shard):
            if controller.name == "apibinding-maintain":
                controller._maintained = {("root", "type")}  # type: ignore[attr-defined]
            queue, listings = attached(controller, range_)
            with counted_turns(monkeypatch) as turn:
                listings.start()
                listings.add_range(range_, partial(controller.initial_keys, range_), partial(asyncio.sleep, 0))
                await finished(listings)
            assert turn.longest < LINES_OF_A_TURN, f"{controller.name}: {turn.longest} lines in one turn, in {turn.where}"
            resources = controller.resources
            if resources is None or set(resources) & set(RESOURCES):
                assert queue.relist_all is False, controller.name


async def test_an_event_costs_the_same_whatever_its_cluster_holds() -> None:
    async with bare_shard() as shard:
        range_ = shard.cell.range_of(CLUSTER)
        for resource in RESOURCES:
            range_.load(crowd(resource))
        owner = record(CONFIG_MAPS, "owner")
        for controller in controllers_of(shard):
            attached(controller)
            for _ in controller.initial_keys(range_):
                pass
            if isinstance(controller, GarbageCollector):
                for number in range(MANY):
                    controller._index(Key(CLUSTER, CONFIG_MAPS, "default", f"n{number}"), None, owned(number))
                controller._unresolved = {CLUSTER: {Key(CLUSTER, CONFIG_MAPS, "default", f"n{n}") for n in range(MANY)}}
            watched = RESOURCES if controller.resources is None else set(RESOURCES) & set(controller.resources)
            for before in (*(record(resource, "n1") for resource in watched), owner):
                if before.key.resource not in watched:
                    continue
                for event in (RecordEvent(before.key, 2, None, before), RecordEvent(before.key, 2, before, before)):
                    ran = lines(partial(notify, controller, event))
                    assert ran < LINES_OF_AN_EVENT, f"{controller.name}, told of {event.key.resource}: {ran} lines"


def notify(controller: Controller[Any], event: RecordEvent) -> None:
    for _ in controller.keys(event):
        pass


def owned(number: int, *, finalizer: bool = False) -> Record:
    """A dependent of `owner`."""
    found = record(CONFIG_MAPS, f"n{number}", owner_uids=("uid-owner",))
    obj = orjson.loads(found.value)
    obj["metadata"]["ownerReferences"] = [{"uid": "uid-owner", "blockOwnerDeletion": number == MANY - 1}]
    if finalizer:
        obj["metadata"]["finalizers"] = ["a/b"]
    return Record(found.key, orjson.dumps(obj), 1, found.head)


@pytest.mark.parametrize("ending", ["foreground", "gone"])
async def test_the_dependents_of_an_owner_are_gone_through_in_slices(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    async with bare_shard() as shard:
        range_ = shard.cell.range_of(CLUSTER)
        range_.load(owned(number) for number in range(MANY))
        (collector,) = [each for each in controllers_of(shard) if isinstance(each, GarbageCollector)]
        queue, _ = attached(collector)
        for _ in collector.initial_keys(range_):
            pass
        owner = record(CONFIG_MAPS, "owner", deleting=True)
        with counted_turns(monkeypatch) as turn:
            if ending == "gone":
                for key in collector.keys(RecordEvent(owner.key, 2, None, owner)):
                    await collector.reconcile(range_, key)
            else:
                await collector._foreground(range_, owner)
        assert_short(turn)
        assert len(queue) == MANY


async def test_indexes_are_filled_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bare_shard() as shard:
        range_ = shard.cell.range_of(CLUSTER)
        range_.load(crowd(API_BINDINGS))
        range_.load(crowd(EVENTS))
        with counted_turns(monkeypatch) as turn:
            index = BindingIndex(local_ranges=shard.tenancy.local_ranges)
            await index.filled(range_)
        assert_short(turn)
        assert index.count(range_.name, "consumed") == MANY
        index.stop()
        with counted_turns(monkeypatch) as turn:
            expiry = EventExpiry(cell=shard.cell, local_ranges=shard.tenancy.local_ranges)
            stop = expiry._follow(range_)
            await until(lambda: len(expiry._writes[range_.name]._second_of) >= MANY)
        assert_short(turn)
        stop()
        range_.load(crowd(CERTIFICATE_SIGNING_REQUESTS))
        begin = datetime.fromisoformat(CONTENT["metadata"]["creationTimestamp"]).timestamp()
        sweeper = CertificateRequestExpiry(cell=shard.cell, scopes=shard.tenancy.scopes, now=lambda: begin + 60)
        # What is made once in a process, when the first object of the type is read, is not counted.
        assert await sweeper.sweep() == 0
        with counted_turns(monkeypatch) as turn:
            assert await sweeper.sweep() == 0
        assert_short(turn)


async def test_a_namespace_and_a_workspace_are_emptied_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bare_shard() as shard:
        range_ = shard.cell.range_of(CLUSTER)
        many = MANY_MORE
        range_.load(owned(number, finalizer=True) for number in range(many))
        (deletion,) = [each for each in controllers_of(shard) if isinstance(each, NamespaceDeletionController)]
        namespace = Key(CLUSTER, NAMESPACES, "", "default")
        there = range_.get(namespace)
        assert there is not None
        marked = Record(namespace, there.value, there.version, Head(there.head.uid, {}, there.head.fields, True))
        range_.load([marked, *(each_marked(owned(number, finalizer=True)) for number in range(many))])
        with counted_turns(monkeypatch) as turn:
            await deletion.reconcile(range_, namespace)
        assert_short(turn, LINES_OF_A_WRITE)
        logical_cluster = range_.get(Key(CLUSTER, LOGICAL_CLUSTERS, "", "cluster"))
        assert logical_cluster is not None
        in_steps = LogicalClusterDeletion(cell=shard.cell, definitions=shard.tenancy.definitions, changes=shard.tenancy.changes)
        with counted_turns(monkeypatch) as turn:
            assert not await in_steps.step(range_, logical_cluster)
        assert_short(turn, LINES_OF_A_TRANSACTION)
        range_.load(record(CONFIG_MAPS, f"n{number}") for number in range(many))
        with counted_turns(monkeypatch) as turn:
            await in_steps.step(range_, logical_cluster)
        assert_short(turn, LINES_OF_A_TRANSACTION)
        assert range_.count(CONFIG_MAPS, CLUSTER) == 0


def each_marked(found: Record) -> Record:
    return Record(found.key, found.value, 1, Head(found.head.uid, found.head.labels, {}, True, found.head.owner_uids))


async def test_a_range_is_loaded_and_gets_its_past_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(cell=1)
    revision = 0
    for at in range(0, MANY_MORE, 100):
        puts = [Put(record(CONFIG_MAPS, f"n{n}").key.encode(), b"{}", n - at) for n in range(at, at + 100)]
        revision = await store.commit([], puts, [])

    def parse(key: Key, value: bytes) -> Head:
        return Head()

    range_ = Range("root", "r", "t")
    with counted_turns(monkeypatch) as turn:
        await load_range(store, range_, parse)
    # The store reads a page in a thread, or is another process, but for this one.
    assert_short(turn, LINES_OF_A_WRITE + 4 * MANY_MORE)
    assert range_.size == MANY_MORE
    with counted_turns(monkeypatch) as turn:
        await backfill_range(store, range_, parse, revision, MANY_MORE)
    assert_short(turn, LINES_OF_A_WRITE)
