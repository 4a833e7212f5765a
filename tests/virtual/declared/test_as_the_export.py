"""A declared view of everything answers as the view of its export does: it never shows more."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from tenantry.apiserver.user import AUTHENTICATED_GROUP, CLUSTER_NAME_EXTRA, SCOPES_EXTRA, User, make_extra
from tenantry.kube.objects import Object
from tests.support.people import ADMIN, MASTER, person
from tests.support.tenancies import ServedShard, accepted, claim
from tests.virtual.apiexport.ranch import FAR, NEAR, PROVIDER, STRANGER, ranch
from tests.virtual.declared.observatory import config_map, declare

VERBS = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]
ROBOT = "system:serviceaccount:default:robot"
CALLERS: dict[str, User] = {
    "stranger": person("stranger"),
    "anonymous": User("system:anonymous", ("system:unauthenticated",)),
    "everything": person("all"),
    "reader": person("reader"),
    "reader impersonated in a consumer": User(
        "reader", (AUTHENTICATED_GROUP,), "", make_extra({SCOPES_EXTRA: [f"cluster:{NEAR}"]})
    ),
    "robot of the provider": User(ROBOT, (AUTHENTICATED_GROUP,), "", make_extra({CLUSTER_NAME_EXTRA: [PROVIDER]})),
    "robot of a consumer": User(ROBOT, (AUTHENTICATED_GROUP,), "", make_extra({CLUSTER_NAME_EXTRA: [NEAR]})),
    "owner of a consumer": person("owner"),
    "system:kcp:admin": ADMIN,
}
GRANTED = {"all": ["*"], "reader": ["get", "list", "watch"], ROBOT: ["get", "list", "create"]}
TYPES = {
    "cowboys": ("/apis/wild.west/v1", "wild.west", f"of-{NEAR}"),
    "configmaps": ("/api/v1", "", "open"),
    "secrets": ("/api/v1", "", "token"),
    "serviceaccounts": ("/api/v1", "", "default"),
}


async def _platform(shard: ServedShard) -> None:
    config, secrets = claim("", "configmaps", "get", "list", "create"), claim("", "secrets")
    taken = [accepted(config, matchLabels={"shared": "yes"}), {**accepted(secrets), "state": "Rejected"}]
    await ranch(shard, claims=[config, secrets], accept=taken)
    await shard.bind_role(NEAR, "owner", "cluster-admin", "owner")
    for number, (name, verbs) in enumerate(GRANTED.items()):
        rules: list[Object] = [
            {"nonResourceURLs": ["/"], "verbs": ["access"]},
            {"apiGroups": ["apis.kcp.io"], "resources": ["apiexports/content"], "resourceNames": ["cowboys"], "verbs": verbs},
            {"apiGroups": ["views.tenantry.dev"], "resources": ["virtualworkspaces/content"], "verbs": verbs},
        ]
        await shard.role(PROVIDER, f"role-{number}", *rules)
        await shard.bind_role(PROVIDER, f"role-{number}", f"role-{number}", name)
    await config_map(shard, "open", shared="yes")
    await config_map(shard, "shut", shared="no")
    resources = [{"group": group, "resource": resource, "verbs": VERBS} for resource, (_, group, _) in TYPES.items()]
    await declare(shard, resources=[*resources, {"group": "apis.kcp.io", "resource": "apibindings"}])


def requests(view: str) -> list[tuple[str, str, Any]]:
    """(method, path, body) of requests that leave nothing behind, in one view."""
    found: list[tuple[str, str, Any]] = []
    for cluster, (resource, (root, _, name)) in product(("*", NEAR, FAR, STRANGER), TYPES.items()):
        base = f"/ranges/{'range-2' if cluster == FAR else 'root'}/services/{view}/clusters/{cluster}"
        found += [("GET", f"{base}{root}", None), ("GET", f"{base}{root}/{resource}", None)]
        if cluster == "*":
            continue
        inside = f"{base}{root}/namespaces/default/{resource}"
        body = {"apiVersion": root.rpartition("/api/")[2].removeprefix("/apis/"), "metadata": {"generateName": "new-"}}
        found += [
            ("GET", inside, None),
            ("GET", f"{inside}/{name}", None),
            ("POST", f"{inside}?dryRun=All", {**body, "kind": _kind(resource)}),
            ("PATCH", f"{inside}/{name}?dryRun=All", {"metadata": {"labels": {"a": "b"}}}),
            ("DELETE", f"{inside}/{name}?dryRun=All", None),
        ]
        found.append(("GET", f"{base}/apis/apis.kcp.io/v1alpha2/apibindings", None))
    return found


def _kind(resource: str) -> str:
    return {"cowboys": "Cowboy", "configmaps": "ConfigMap", "secrets": "Secret", "serviceaccounts": "ServiceAccount"}[resource]


async def answer_to(shard: ServedShard, who: User, method: str, path: str, body: Any) -> Any:
    """The status, and the names of what is shown."""
    target, _, query = path.partition("?")
    headers = {"content_type": "application/merge-patch+json"} if method == "PATCH" else {}
    status, answer = await shard.call(method, target, who, body, query=query, **headers)
    if not isinstance(answer, dict) or status >= 300:
        return status
    return (
        status,
        [item["metadata"]["name"] for item in answer.get("items") or ()],
        sorted((each["name"], *each["verbs"]) for each in answer.get("resources") or () if each["name"] in TYPES),
    )


@pytest.mark.parametrize("name", CALLERS)
async def test_the_same_answers(name: str) -> None:
    who = CALLERS[name]
    async with ServedShard() as shard:
        await _platform(shard)
        seen = 0
        pairs = zip(requests(f"apiexport/{PROVIDER}/cowboys"), requests(f"virtualworkspaces/{PROVIDER}/shown"), strict=True)
        for exported, declared in pairs:
            expected = await answer_to(shard, who, *exported)
            assert await answer_to(shard, who, *declared) == expected, declared
            seen += isinstance(expected, tuple)
        assert bool(seen) is (name in ("everything", "reader", "robot of the provider", "system:kcp:admin"))


async def test_masters_see_no_more_than_was_accepted() -> None:
    """In the view of the export they see what the consumer rejected, too (kcp)."""
    async with ServedShard() as shard:
        await _platform(shard)
        path = f"/ranges/root/services/virtualworkspaces/{PROVIDER}/shown/clusters/*/api/v1/configmaps"
        assert (await answer_to(shard, MASTER, "GET", path, None))[1] == ["open"]
