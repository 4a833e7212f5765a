"""However large an object is, and however many and large the quotas are that count it, the loop runs few lines for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.record import Head, Record
from tenantry.tenancy.quotas import CLUSTER_SCOPED_ANNOTATION
from tenantry.tenancy.resources import RESOURCE_QUOTAS
from tenantry.tenancy.types.workload_type import WORKLOADS_EXPORT
from tests.growth.turns import counted_turns
from tests.support.clusters import CLUSTER, ServedCluster, config_map
from tests.support.people import MASTER

LINES_OF_A_TURN = 12_000
"""Of a Pod with 2,000 containers, each quota would be more than 20,000."""
CORE = f"/clusters/{CLUSTER}/api/v1/namespaces/default"
CLUSTER_ROLES = f"/clusters/{CLUSTER}/apis/rbac.authorization.k8s.io/v1/clusterroles"
ROLES = "count/clusterroles.rbac.authorization.k8s.io"


def quota(name: str, limit: str, *more: str) -> Record:
    hard = dict.fromkeys(("pods", "requests.cpu", "limits.cpu", "count/configmaps", *more), limit)
    content = {"spec": {"hard": hard}, "status": {"hard": hard, "used": dict.fromkeys(hard, "0")}}
    value = orjson.dumps({"metadata": {"name": name, "namespace": "default", "uid": name}, **content})
    return Record(Key(CLUSTER, RESOURCE_QUOTAS, "default", name), value, 1, Head(name))


def quotas(count: int, *, last: str = "100000") -> Iterator[Record]:
    for number in range(count):
        yield quota(f"q{number:03}", last if number == count - 1 else "100000")


def pod(containers: int) -> Object:
    amounts = {"cpu": "1", "memory": "1"}
    each = [
        {"name": f"c{number}", "image": "x", "resources": {"requests": amounts, "limits": amounts}}
        for number in range(containers)
    ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": each}}


@asynccontextmanager
async def with_quotas(records: Iterator[Record]) -> AsyncIterator[ServedCluster]:
    async with ServedCluster() as shard:
        await shard.bind(CLUSTER, "root", WORKLOADS_EXPORT)
        await shard.tenancy.runner.stop()
        # The definitions of these types are made once in a process.
        assert (await shard.call("POST", f"{CORE}/pods", MASTER, pod(1), "dryRun=All"))[0] == 201
        shard.cell.range_of(CLUSTER).load(records)
        yield shard


async def answered(
    monkeypatch: pytest.MonkeyPatch, shard: ServedCluster, plural: str, body: Object, query: str = ""
) -> tuple[int, Any]:
    with counted_turns(monkeypatch) as turn:
        status, answer = await shard.call("POST", f"{CORE}/{plural}", MASTER, body, query)
    assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"
    return status, answer


def used(shard: ServedCluster, name: str, key: str) -> str:
    found = shard.get(CLUSTER, RESOURCE_QUOTAS, name, "default")
    assert found is not None
    return str(found["status"]["used"][key])


@pytest.mark.parametrize("last", ["100000", "1"])
async def test_many_quotas(monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    async with with_quotas(quotas(100, last=last)) as shard:
        status, answer = await answered(monkeypatch, shard, "configmaps", config_map("x"))
        assert status == 201, answer
        assert {used(shard, f"q{number:03}", "count/configmaps") for number in range(100)} == {"1"}
        status, answer = await answered(monkeypatch, shard, "configmaps", config_map("y"))
        assert status == (201 if last != "1" else 403), answer


async def test_more_quotas_than_a_transaction_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with with_quotas(quotas(500)) as shard:
        status, answer = await answered(monkeypatch, shard, "configmaps", config_map("x"))
        assert status == 403 and "more than 100 ResourceQuotas count it" in answer["message"]
        # Those that do not count it are no matter.
        assert (await answered(monkeypatch, shard, "secrets", {"metadata": {"name": "x"}}))[0] == 201


@pytest.mark.parametrize("last", ["100000", "1"])
async def test_a_large_pod(monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    async with with_quotas(quotas(3, last=last)) as shard:
        status, answer = await answered(monkeypatch, shard, "pods", pod(2000))
        if last == "1":
            assert status == 403 and "exceeded quota: q002, requested: limits.cpu=2k,requests.cpu=2k" in answer["message"]
            return
        assert status == 201, answer
        assert {used(shard, f"q{number:03}", "requests.cpu") for number in range(3)} == {"2k"}


async def test_a_quota_that_changed_meanwhile_is_charged_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its usage is counted in a thread, and another object is created before it is charged."""
    async with with_quotas(quotas(2)) as shard:
        large = asyncio.ensure_future(shard.call("POST", f"{CORE}/pods", MASTER, pod(1500)))
        made = 0
        while not large.done():
            small = pod(1) | {"metadata": {"name": f"small{made}"}}
            assert (await shard.call("POST", f"{CORE}/pods", MASTER, small))[0] == 201
            made += 1
        assert (await large)[0] == 201
        assert used(shard, "q000", "pods") == used(shard, "q001", "pods") == str(made + 1)
        assert used(shard, "q000", "requests.cpu") == str(made + 1500)


class Searched(bytes):
    """A value that counts how often it is searched or read."""

    times = 0

    def __contains__(self, text: object) -> bool:
        Searched.times += 1
        return super().__contains__(text)  # type: ignore[operator]


async def test_quotas_that_do_not_count_cluster_scoped_objects_cost_their_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def role(name: str) -> Object:
        return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}

    async def created(name: str) -> int:
        with counted_turns(monkeypatch) as turn:
            status, answer = await shard.call("POST", CLUSTER_ROLES, MASTER, role(name))
        assert status == 201, answer
        return turn.longest

    async with ServedCluster() as shard:
        await shard.tenancy.runner.stop()
        range_ = shard.cell.range_of(CLUSTER)
        await created("first")
        alone = await created("second")
        for number in range(5000):
            record = quota(f"q{number:04}", "1", ROLES)
            range_.load([Record(record.key, Searched(record.value), 1, record.head)])
        Searched.times = 0
        assert await created("third") < alone * 1.5
        assert Searched.times == 0
        whole = quota("whole", "0", ROLES)
        annotated = whole.value.replace(
            b'"metadata":{', b'"metadata":{"annotations":{"%s":"true"},' % CLUSTER_SCOPED_ANNOTATION.encode()
        )
        range_.load([Record(whole.key, annotated, 1, whole.head)])
        status, answer = await shard.call("POST", CLUSTER_ROLES, MASTER, role("fourth"))
        assert status == 403 and "exceeded quota: whole" in answer["message"]
        assert Searched.times == 0
