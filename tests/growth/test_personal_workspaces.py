"""However many workspaces a parent has, and however much RBAC each of these: a list of personal workspaces keeps to slices."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.record import Head, Record
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, LOGICAL_CLUSTERS
from tenantry_personal_workspaces import PersonalWorkspaces
from tests.growth.turns import counted_turns
from tests.support.people import person
from tests.support.tenancies import ServedShard

ORG = "rorg000000000000"
PATH = f"/services/workspaces/{ORG}/apis/tenancy.kcp.io/v1alpha1/workspaces"
WORKSPACES = 2_000
BINDINGS = 2_000
LINES_OF_A_TURN = 16 * 1_200
"""Who may access a workspace is read for the first time in some hundred lines, 16 times between two looks at the clock."""
ENTER = {"nonResourceURLs": ["/"], "verbs": ["access"]}


def children(shard: ServedShard) -> Iterator[Record]:
    """Workspaces and their clusters. The first two have many bindings and roles, of which the last lets ann in."""
    resource = shard.tenancy.definitions.workspaces.storage_key
    version = 1 << 20
    for number in range(WORKSPACES):
        cluster = f"rteam{number}x".ljust(16, "0")
        count = BINDINGS if number < 2 else 1
        objects: list[tuple[str, str, Object]] = []
        subject = {"kind": "User", "name": "ann"}
        for n in range(count):
            objects.append((CLUSTER_ROLES, f"role-{n}", {"rules": [ENTER] if n == count - 1 else []}))
            binding: Object = {"roleRef": {"kind": "ClusterRole", "name": f"role-{n}"}, "subjects": [subject]}
            objects.append((CLUSTER_ROLE_BINDINGS, f"binding-{n}", binding))
        objects.append((LOGICAL_CLUSTERS, "cluster", {"status": {"phase": "Ready"}}))
        for kind, name, obj in objects:
            version += 1
            yield Record(Key(cluster, kind, "", name), orjson.dumps({"metadata": {"name": name}, **obj}), version, Head())
        version += 1
        name = f"team-{number:05d}"
        workspace = {"metadata": {"name": name}, "spec": {"cluster": cluster}, "status": {"phase": "Ready"}}
        yield Record(Key(ORG, resource, "", name), orjson.dumps(workspace), version, Head())


@pytest.mark.parametrize("query", ["", "limit=500", "labelSelector=a%3Db"])
async def test_a_list_keeps_to_slices(monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    async with ServedShard(PersonalWorkspaces) as shard:
        await shard.cluster(ORG, "root:org")
        await shard.tenancy.runner.stop()
        shard.cell.range_of(ORG).load(children(shard))
        # What the process computes once for the type is none of the list's.
        assert (await shard.call("GET", f"{PATH}/team-00100", person("ann")))[0] == 200
        for _ in range(2):
            with counted_turns(monkeypatch) as turn:
                status, answer = await shard.call("GET", PATH, person("ann"), query=query)
            assert status == 200, answer
            assert len(answer["items"]) == (0 if "Selector" in query else 500 if query else WORKSPACES)
            assert 0 < turn.longest < LINES_OF_A_TURN, f"{turn.longest} lines in one turn, most of them in {turn.where}"
