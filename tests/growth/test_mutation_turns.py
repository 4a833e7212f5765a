"""Whatever the policies of a tenant mutate, a turn of the loop is short. What takes longer is made in a thread."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.schema.cel import AT_ONCE_LIMIT
from tests.growth.turns import counted_turns
from tests.kube.admission.test_mutating import MAP, failures, mutated, sent
from tests.support.clusters import CLUSTER, ServedCluster
from tests.support.people import MASTER

LINES_OF_A_TURN = 4 * AT_ONCE_LIMIT
"""A unit of cost stands for three or four lines, whether an expression or a mutation takes it."""
ADMISSION = f"/clusters/{CLUSTER}/apis/admissionregistration.k8s.io/v1"
CONFIG_MAPS = f"/clusters/{CLUSTER}/api/v1/namespaces/default/configmaps"
RULE = {"apiGroups": [""], "apiVersions": ["*"], "operations": ["*"], "resources": ["configmaps"]}


async def install(shard: ServedCluster, name: str, *mutations: str, **spec: Any) -> None:
    listed = [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": text}}
        if text.startswith("[")
        else {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": text}}
        for text in mutations
    ]
    whole = {"matchConstraints": {"resourceRules": [RULE]}, "reinvocationPolicy": "Never", "mutations": listed} | spec
    for kind, body in (
        ("mutatingadmissionpolicies", whole),
        ("mutatingadmissionpolicybindings", {"policyName": name}),
    ):
        status, answer = await shard.call("POST", f"{ADMISSION}/{kind}", MASTER, {"metadata": {"name": name}, "spec": body})
        assert status == 201, answer


async def made(monkeypatch: pytest.MonkeyPatch, shard: ServedCluster, data: dict[str, str]) -> tuple[int, Any]:
    body = {"metadata": {"name": "x"}, "data": data}
    # What is compiled once for all is compiled before.
    await shard.call("POST", CONFIG_MAPS, MASTER, body, "dryRun=All")
    with counted_turns(monkeypatch) as turn:
        status, answer = await shard.call("POST", CONFIG_MAPS, MASTER, body, "dryRun=All")
    assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"
    return status, answer


async def test_many_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ServedCluster() as shard:
        for number in range(40):
            await install(shard, f"p{number}", *(f"Object{{data: {{'p{number}-{step}': '1'}}}}" for step in range(5)))
        status, answer = await made(monkeypatch, shard, {"k": "v"})
        assert status == 201 and len(answer["data"]) == 201


async def test_large_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ServedCluster() as shard:
        await install(shard, "p", *(f"Object{{data: {{'p{step}': '1'}}}}" for step in range(3)))
        status, answer = await made(monkeypatch, shard, {f"k{number}": "v" for number in range(1_200)})
        assert status == 201 and len(answer["data"]) == 1_203


async def test_many_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ServedCluster() as shard:
        tens = "[0,1,2,3,4,5,6,7,8,9]"
        key = "'/data/k' + string(a * 100 + b * 10 + c)"
        operation = f"JSONPatch{{op: 'add', path: {key}, value: 'v'}}"
        text = f"{tens}.map(a, {tens}.map(b, {tens}.map(c, {operation})).flatten()).flatten()"
        patch = {"patchType": "JSONPatch", "jsonPatch": {"expression": text}}
        await install(shard, "p", mutations=[patch])
        status, answer = await made(monkeypatch, shard, {"k": "v"})
        assert status == 201, answer
        assert len(answer["data"]) == 1_001


def test_what_is_in_very_many_places_is_not_looked_at_in_all_of_them() -> None:
    variables = [{"name": "v0", "expression": "['x', 'y']"}]
    variables += [{"name": f"v{n}", "expression": f"[variables.v{n - 1}, variables.v{n - 1}]"} for n in range(1, 40)]
    for mutation in ("Object{data: {'a': variables.v39}}", "[JSONPatch{op: 'add', path: '/data/a', value: variables.v39}]"):
        result = mutated(sent(MAP), mutation, variables=variables)
        assert failures(result) and result.object["data"] == {"k": "v"}
