"""Flow control objects of logical clusters: shared until they are used, kept as Kubernetes does, and in effect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tenantry.kube.flowcontrol.plan import standard_uid
from tenantry.kube.flowcontrol.standard_objects import AUTO_UPDATE, STANDARD_LEVELS, STANDARD_SCHEMAS
from tenantry.kube.objects import Object
from tenantry.tenancy.admission.total_sizes import FLOW_CONTROL
from tenantry.tenancy.resources import FLOW_SCHEMAS, PRIORITY_LEVELS
from tests.support.one_process import Stack, running
from tests.support.people import MASTER, person

GROUP = "apis/flowcontrol.apiserver.k8s.io/v1"
SCHEMAS, LEVELS = f"{GROUP}/flowschemas", f"{GROUP}/prioritylevelconfigurations"
EVERY = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
ADA = person("ada")


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path) as made:
        yield made


def schema(name: str, level: str, user: str = "ada", precedence: int = 50) -> Object:
    rules = [{"subjects": [{"kind": "User", "user": {"name": user}}], "resourceRules": [EVERY]}]
    spec = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": rules}
    return {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": name}, "spec": spec}


def level(name: str, shares: int = 5) -> Object:
    spec = {"type": "Limited", "limited": {"nominalConcurrencyShares": shares, "limitResponse": {"type": "Reject"}}}
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "PriorityLevelConfiguration",
        "metadata": {"name": name},
        "spec": spec,
    }


async def entered(stack: Stack) -> str:
    """A workspace which Ada administers."""
    return await of_ada(stack, "w")


async def of_ada(stack: Stack, name: str) -> str:
    cluster = await stack.workspace("root", name)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "ada"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ada"}],
    }
    status, answer = await stack.call(
        "POST", f"/clusters/{cluster}/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", MASTER, binding
    )
    assert status == 201, answer
    return cluster


def stored(stack: Stack, cluster: str) -> int:
    range_ = stack.tenancy_of(cluster).cell.range_of(cluster)
    return sum(range_.count(resource, cluster) for resource in (FLOW_SCHEMAS, PRIORITY_LEVELS))


async def until_condition(stack: Stack, cluster: str, name: str, status: str) -> Object:
    async def check() -> Object | None:
        _, found = await stack.call("GET", f"/clusters/{cluster}/{SCHEMAS}/{name}")
        conditions = (found.get("status") or {}).get("conditions") or ()
        return next((each for each in conditions if each["type"] == "Dangling" and each["status"] == status), None)

    found: Object = await stack.eventually(check)
    return found


async def test_standard_objects_are_stored_when_they_are_used(stack: Stack) -> None:
    cluster = await entered(stack)
    await stack.call("GET", f"/clusters/{cluster}/api/v1/namespaces/default/configmaps", ADA)
    assert stored(stack, cluster) == 0
    status, found = await stack.call("GET", f"/clusters/{cluster}/{SCHEMAS}", ADA)
    assert status == 200
    assert {item["metadata"]["name"]: item["spec"] for item in found["items"]} == STANDARD_SCHEMAS
    assert all(item["metadata"]["uid"] == standard_uid("FlowSchema", item["metadata"]["name"]) for item in found["items"])
    assert all(item["status"]["conditions"][0]["reason"] == "Found" for item in found["items"])
    assert stored(stack, cluster) == len(STANDARD_SCHEMAS) + len(STANDARD_LEVELS)
    _, levels = await stack.call("GET", f"/clusters/{cluster}/{LEVELS}", ADA)
    assert {item["metadata"]["name"]: item["spec"] for item in levels["items"]} == STANDARD_LEVELS


async def test_rows_of_schemas_are_in_the_order_in_which_they_are_asked(stack: Stack) -> None:
    cluster = await entered(stack)
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    _, table = await stack.call("GET", f"/clusters/{cluster}/{SCHEMAS}", ADA, accept=accept)
    precedences = [row["cells"][2] for row in table["rows"]]
    assert precedences == sorted(precedences)
    assert [row["cells"][0] for row in table["rows"]][:3] == ["exempt", "probes", "system-leader-election"]
    assert [row["cells"][0] for row in table["rows"]][5:7] == ["kube-controller-manager", "kube-scheduler"]


async def test_an_ended_workspace_gets_none(stack: Stack) -> None:
    cluster = await entered(stack)
    await stack.call("GET", f"/clusters/{cluster}/{SCHEMAS}")
    await stack.call("DELETE", "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/w")
    await stack.gone("root", "w")
    await stack.call("GET", f"/clusters/{cluster}/{SCHEMAS}")
    assert stored(stack, cluster) == 0


async def test_headers_name_what_decided(stack: Stack) -> None:
    cluster = await entered(stack)

    async def named() -> tuple[str, str]:
        """(uid of the schema, uid of the level) of a request of Ada's."""
        seen = await stack.flow(f"/clusters/{cluster}/api/v1/namespaces/default/configmaps", ADA)
        return seen["X-Kubernetes-Pf-Flowschema-Uid"], seen["X-Kubernetes-Pf-Prioritylevel-Uid"]

    by_default = standard_uid("FlowSchema", "global-default"), standard_uid("PriorityLevelConfiguration", "global-default")
    assert await named() == by_default
    _, made_level = await stack.call("POST", f"/clusters/{cluster}/{LEVELS}", ADA, level("mine"))
    _, made = await stack.call("POST", f"/clusters/{cluster}/{SCHEMAS}", ADA, schema("mine", "mine"))
    assert await named() == (made["metadata"]["uid"], made_level["metadata"]["uid"])
    await stack.call("DELETE", f"/clusters/{cluster}/{LEVELS}/mine", ADA)
    assert await named() == by_default
    for path in ("configmaps", "livez"):
        refused = await stack.flow(f"/clusters/{cluster}/api/v1/namespaces/default/{path}", person("eve"))
    assert refused["X-Kubernetes-Pf-Flowschema-Uid"] == by_default[0]
    other = await stack.flow(f"/clusters/{cluster}/api/v1/namespaces/default/configmaps", MASTER)
    assert other["X-Kubernetes-Pf-Flowschema-Uid"] == standard_uid("FlowSchema", "exempt")


async def test_what_is_kept(stack: Stack) -> None:
    cluster = await entered(stack)
    url = f"/clusters/{cluster}/{SCHEMAS}"
    await stack.call("GET", url, ADA)
    for name in ("exempt", "service-accounts"):
        before = standard_uid("FlowSchema", name)
        assert (await stack.call("DELETE", f"{url}/{name}", ADA))[0] == 200

        async def back(name: str = name, before: str = before) -> bool:
            status, found = await stack.call("GET", f"{url}/{name}")
            return status == 200 and found["metadata"]["uid"] != before

        await stack.eventually(back)
    patch = {"content_type": "application/merge-patch+json"}
    await stack.call("PATCH", f"{url}/service-accounts", ADA, {"spec": {"matchingPrecedence": 77}}, **patch)

    async def restored() -> bool:
        _, found = await stack.call("GET", f"{url}/service-accounts")
        return bool(found["spec"] == STANDARD_SCHEMAS["service-accounts"])

    await stack.eventually(restored)
    own = {"metadata": {"annotations": {AUTO_UPDATE: "false"}}, "spec": {"matchingPrecedence": 78}}
    await stack.call("PATCH", f"{url}/service-accounts", ADA, own, **patch)
    # An object with the annotation that this server does not know is one of an older server.
    old = schema("old", "global-default")
    old["metadata"]["annotations"] = {AUTO_UPDATE: "true"}
    await stack.call("POST", url, ADA, old)

    async def deleted() -> bool:
        return (await stack.call("GET", f"{url}/old"))[0] == 404

    await stack.eventually(deleted)
    _, found = await stack.call("GET", f"{url}/service-accounts")
    assert found["spec"]["matchingPrecedence"] == 78


async def test_a_schema_without_its_level(stack: Stack) -> None:
    cluster = await entered(stack)
    await stack.call("POST", f"/clusters/{cluster}/{SCHEMAS}", ADA, schema("mine", "mine"))
    found = await until_condition(stack, cluster, "mine", "True")
    assert found["reason"] == "NotFound"
    assert found["message"] == (
        'This FlowSchema references the PriorityLevelConfiguration object named "mine" but there is no such object'
    )
    await stack.call("POST", f"/clusters/{cluster}/{LEVELS}", ADA, level("mine"))
    found = await until_condition(stack, cluster, "mine", "False")
    assert found["reason"] == "Found"
    await stack.call("DELETE", f"/clusters/{cluster}/{LEVELS}/mine", ADA)
    await until_condition(stack, cluster, "mine", "True")


async def test_a_level_without_seats_refuses(stack: Stack) -> None:
    """And no request of another workspace is refused."""
    cluster = await entered(stack)
    other = await of_ada(stack, "other")
    jail = level("jail", 0)
    jail["spec"]["limited"]["borrowingLimitPercent"] = 0
    await stack.call("POST", f"/clusters/{cluster}/{LEVELS}", ADA, jail)
    await stack.call("POST", f"/clusters/{cluster}/{SCHEMAS}", ADA, schema("jail", "jail"))
    status, text = await stack.call("GET", f"/clusters/{cluster}/api/v1/namespaces/default/configmaps", ADA)
    assert (status, text) == (429, "Too many requests, please try again later.\n")
    assert (await stack.call("GET", f"/clusters/{cluster}/api/v1/namespaces/default/configmaps"))[0] == 200
    assert (await stack.call("GET", f"/clusters/{other}/api/v1/namespaces/default/configmaps", ADA))[0] == 200


async def test_the_number_of_objects_is_bounded(stack: Stack) -> None:
    cluster = await entered(stack)
    url = f"/clusters/{cluster}/{LEVELS}"
    await stack.call("GET", url, ADA)
    for number in range(FLOW_CONTROL.objects_max - stored(stack, cluster)):
        assert (await stack.call("POST", url, ADA, level(f"l{number}")))[0] == 201
    status, found = await stack.call("POST", url, ADA, level("more"))
    assert status == 403
    assert "a logical cluster may have 256 FlowSchemas and priority levels" in found["message"]
    assert (await stack.call("PUT", f"{url}/l0", ADA, level("l0")))[0] == 200
    large = schema("large", "l0")
    large["spec"]["rules"][0]["subjects"] *= 5000
    assert (await stack.call("POST", f"/clusters/{cluster}/{SCHEMAS}", ADA, large))[0] == 403
