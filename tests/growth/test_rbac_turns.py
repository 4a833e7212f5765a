"""However many bindings a workspace has, and whomever they name, a request of its users keeps to slices of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from tenantry.apiserver.authentication.authenticator import UnionAuthenticator
from tenantry.apiserver.endpoints import reviews
from tenantry.base import time_slices
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.record import Head, Record
from tenantry.tenancy.authorization.authorizer_chain import AuthorizerChain
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS
from tests.growth.turns import counted_turns
from tests.support.clusters import CLUSTER, RBAC, ServedCluster
from tests.support.people import person
from tests.support.waiting import until

MANY = 2_000
LINES_OF_A_TURN = 4_000 + 4 * MANY
"""A request, and what is handed on of bindings that were gone through: to read them runs dozens of lines for each."""
WHO: dict[str, Callable[[int], list[str]]] = {
    "each names another user": lambda number: [f"user-{number}"],
    "all name the caller": lambda number: ["ada"],
    "one names them all": lambda number: [f"user-{n}" for n in range(MANY)] if not number else [],
}


def binding(name: str, users: list[str], namespace: str = "", role: str = "role") -> Record:
    obj: Object = {
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user} for user in users],
    }
    key = Key(CLUSTER, ROLE_BINDINGS if namespace else CLUSTER_ROLE_BINDINGS, namespace, name)
    return Record(key, orjson.dumps(obj), 1, Head(f"uid-{namespace}-{name}"))


def bindings(who: Callable[[int], list[str]]) -> Iterator[Record]:
    """Half of them in namespaces, each to a role of its own."""
    for number in range(MANY):
        users = who(number)
        if users:
            yield binding(f"b{number}", users, f"n{number % 50}" if number % 2 else "", f"role-{number}")


def roles() -> Iterator[Record]:
    rules = [{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"]}]
    for number in range(MANY):
        value = orjson.dumps({"metadata": {"name": f"role-{number}"}, "rules": rules})
        yield Record(Key(CLUSTER, CLUSTER_ROLES, "", f"role-{number}"), value, 1, Head(f"uid-{number}"))


@asynccontextmanager
async def bare_shard(*records: Iterator[Record]) -> AsyncIterator[ServedCluster]:
    async with ServedCluster() as shard:
        await shard.tenancy.runner.stop()
        range_ = shard.cell.range_of(CLUSTER)
        for each in records:
            range_.load(each)
        shard.connectors.update(reviews.connectors(UnionAuthenticator(anonymous=True)))
        chain_of(shard)._clusters.clear()
        yield shard


def chain_of(shard: ServedCluster) -> AuthorizerChain:
    assert isinstance(shard.tenancy.authorizer, AuthorizerChain)
    return shard.tenancy.authorizer


async def asked(shard: ServedCluster, who: str = "ada") -> int:
    return (await shard.call("GET", shard.url("configmaps"), person(who)))[0]


REVIEW = {"spec": {"user": "ada", "resourceAttributes": {"verb": "get", "resource": "secrets", "name": "one"}}}
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "a list": ("GET", f"/clusters/{CLUSTER}/api/v1/configmaps", None),
    "an access review": ("POST", f"/clusters/{CLUSTER}/apis/authorization.k8s.io/v1/subjectaccessreviews", REVIEW),
    "a rules review": (
        "POST",
        f"/clusters/{CLUSTER}/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        {"spec": {"namespace": "n1"}},
    ),
}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("named", WHO)
async def test_rbac_is_read_in_slices(monkeypatch: pytest.MonkeyPatch, named: str, request_: str) -> None:
    async with bare_shard(bindings(WHO[named]), roles()) as shard:
        method, path, body = REQUESTS[request_]
        for _ in range(2):
            with counted_turns(monkeypatch) as turn:
                status, answer = await shard.call(method, path, person("ada"), body)
            assert status in (200, 201), answer
            assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"


async def test_a_binding_that_changes_is_taken_in_alone() -> None:
    async with bare_shard(bindings(WHO["each names another user"])) as shard:
        assert (await asked(shard), await asked(shard, "eve")) == (200, 403)
        policy = chain_of(shard)._of_cluster(CLUSTER).policy
        viewers: Object = {
            "metadata": {"name": "viewers"},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": "eve"}],
        }
        await shard.post("clusterrolebindings", viewers, "")
        assert await asked(shard, "eve") == 200
        await shard.delete("clusterrolebindings", "viewers", "")
        assert (await asked(shard), await asked(shard, "eve")) == (200, 403)
        assert chain_of(shard)._of_cluster(CLUSTER).policy is policy


@pytest.mark.parametrize("size", [1, MANY])
async def test_what_changes_while_rbac_is_read_counts(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Small bindings are taken in on the way; a large one has the reading begin again."""
    async with bare_shard(bindings(WHO["each names another user"])) as shard:
        await shard.post("clusterrolebindings", admins("old", "bob"), "")
        chain = chain_of(shard)
        chain._clusters.clear()
        monkeypatch.setattr(time_slices.turns, "_slice_seconds", 0.0)
        monkeypatch.setattr(time_slices, "PIECE", 1)
        reading = [asyncio.create_task(asked(shard, who)) for who in ("ada", "eve", "bob")]
        await until(lambda: chain._making and chain._making[CLUSTER].count([person("user-9")]))
        others = [f"other-{n}" for n in range(size - 1)]
        # Past admission, which takes turns of its own.
        await shard.put(CLUSTER, RBAC, "clusterrolebindings", admins("new", "eve", *others))
        await shard.delete("clusterrolebindings", "old", "")
        assert chain._making or not any(task.done() for task in reading)
        assert await asyncio.gather(*reading) == [200, 200, 403]
        assert not chain._making


def admins(name: str, *users: str) -> Object:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user} for user in users],
    }


async def test_what_changes_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bare_shard(bindings(WHO["all name the caller"])) as shard:
        chain = chain_of(shard)
        find = chain._find_access

        async def changed(*who: Any) -> None:
            await find(*who)
            chain._policies.forget_all()

        monkeypatch.setattr(chain, "_find_access", changed)
        assert await asked(shard) == 429
