"""The export `kubernetes-workloads` of root: who binds it has Kubernetes' workload types, and nobody else notices."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import orjson
import pytest

from tenantry.kube.codec import protobuf
from tenantry.kube.discovery import group_list, resource_list
from tenantry.kube.openapi.fragment import fragment
from tenantry.storage.keys import Key
from tenantry.tenancy.controllers.resource_quotas import ResourceQuotaController
from tenantry.tenancy.resources import API_BINDINGS, RESOURCE_QUOTAS
from tenantry.tenancy.types.workload_type import WORKLOAD_TYPES, WORKLOADS_EXPORT
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard, accepted, claim

WS, OTHER = "0001111111111111", "0002222222222222"
DEPLOYMENTS = f"/clusters/{WS}/apis/apps/v1/namespaces/default/deployments"
PODS = f"/clusters/{WS}/api/v1/namespaces/default/pods"
APPLY = {"content_type": "application/apply-patch+yaml"}
STRATEGIC = {"content_type": "application/strategic-merge-patch+json"}


def deployment(*containers: Any, name: str = "web", **spec: Any) -> Any:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": list(containers)}}
    whole = {"selector": {"matchLabels": {"app": name}}, "template": template, **spec}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": whole}


async def bound(shard: ServedShard) -> None:
    await shard.cluster(WS, "root:ws")
    await shard.namespace(WS, "default")
    await shard.bind(WS, "root", WORKLOADS_EXPORT)


async def test_deployments_are_patched_and_applied_container_by_container() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        status, made = await shard.call("POST", DEPLOYMENTS, MASTER, deployment({"name": "a", "image": "a:1"}))
        assert status == 201, made
        assert made["spec"]["replicas"] == 1 and made["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == "25%"
        patch = {"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b:1"}]}}}}
        _, patched = await shard.call("PATCH", f"{DEPLOYMENTS}/web", MASTER, patch, **STRATEGIC)
        assert [c["name"] for c in patched["spec"]["template"]["spec"]["containers"]] == ["b", "a"]
        config = deployment({"name": "a", "image": "a:2"})
        query = "fieldManager=owner"
        status, refused = await shard.call("PATCH", f"{DEPLOYMENTS}/web", MASTER, config, query, **APPLY)
        assert status == 409 and 'containers[name="a"].image' in refused["message"]
        status, applied = await shard.call("PATCH", f"{DEPLOYMENTS}/web", MASTER, config, f"{query}&force=true", **APPLY)
        assert status == 200
        assert [c["image"] for c in applied["spec"]["template"]["spec"]["containers"]] == ["b:1", "a:2"]
        assert applied["metadata"]["generation"] == 3


async def test_scale_and_status_are_endpoints_of_their_own() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        await shard.call("POST", DEPLOYMENTS, MASTER, deployment({"name": "a", "image": "a"}))
        _, scale = await shard.call("GET", f"{DEPLOYMENTS}/web/scale", MASTER)
        assert (scale["spec"]["replicas"], scale["status"]["selector"]) == (1, "app=web")
        scale["spec"]["replicas"] = 4
        status, _ = await shard.call("PUT", f"{DEPLOYMENTS}/web/scale", MASTER, scale)
        assert status == 200
        patch = {"status": {"replicas": 4, "readyReplicas": 3}, "spec": {"replicas": 9}}
        await shard.call("PATCH", f"{DEPLOYMENTS}/web/status", MASTER, patch, **STRATEGIC)
        _, found = await shard.call("GET", f"{DEPLOYMENTS}/web", MASTER)
        assert found["spec"]["replicas"] == 4 and found["status"]["readyReplicas"] == 3
        table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        _, shown = await shard.call("GET", DEPLOYMENTS, MASTER, **table)
        assert shown["rows"][0]["cells"][:4] == ["web", "3/4", 0, 0]


async def test_a_status_that_cannot_be_is_refused() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        await shard.call("POST", DEPLOYMENTS, MASTER, deployment({"name": "a", "image": "a"}))
        patch = {"status": {"replicas": 1, "readyReplicas": 3, "availableReplicas": -1}}
        status, refused = await shard.call("PATCH", f"{DEPLOYMENTS}/web/status", MASTER, patch, **STRATEGIC)
        assert status == 422
        causes = [(cause["field"], cause["message"]) for cause in refused["details"]["causes"]]
        assert causes == [
            ("status.availableReplicas", "Invalid value: -1: must be greater than or equal to 0"),
            ("status.readyReplicas", "Invalid value: 3: cannot be greater than status.replicas"),
        ]


async def test_ephemeral_containers_are_added_and_resources_changed_at_their_endpoints() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        container = {"name": "a", "image": "x", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
        await shard.call("POST", PODS, MASTER, pod)
        added = {"spec": {"ephemeralContainers": [{"name": "look", "image": "busybox"}], "nodeName": "ignored"}}
        status, refused = await shard.call("PATCH", f"{PODS}/p", MASTER, added, **STRATEGIC)
        assert status == 422 and refused["details"]["causes"][0]["field"] == "spec"
        status, made = await shard.call("PATCH", f"{PODS}/p/ephemeralcontainers", MASTER, added, **STRATEGIC)
        assert status == 200, made
        assert made["spec"]["ephemeralContainers"][0]["imagePullPolicy"] == "Always" and "nodeName" not in made["spec"]
        changed = {"spec": {"ephemeralContainers": [{"name": "look", "image": "other"}]}}
        status, refused = await shard.call("PATCH", f"{PODS}/p/ephemeralcontainers", MASTER, changed, **STRATEGIC)
        assert status == 422 and "may not be changed" in refused["message"]
        grown = {"spec": {"containers": [{"name": "a", "image": "ignored", "resources": {"requests": {"cpu": "1500m"}}}]}}
        status, made = await shard.call("PATCH", f"{PODS}/p/resize", MASTER, grown, **STRATEGIC)
        assert status == 200, made
        (found,) = made["spec"]["containers"]
        assert (found["image"], found["resources"]["requests"]) == ("x", {"cpu": "1500m"})
        grown["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "3"}}
        assert (await shard.call("PATCH", f"{PODS}/p/resize", MASTER, grown, **STRATEGIC))[0] == 422


async def test_protobuf_in_and_out() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "a", "image": "x"}]},
        }
        await shard.call("POST", PODS, MASTER, pod)
        media_type = protobuf.MEDIA_TYPE
        status, one = await shard.call("GET", f"{PODS}/p", MASTER, accept=media_type)
        assert status == 200 and one["spec"]["containers"][0]["imagePullPolicy"] == "Always"


async def test_every_type_is_served_and_has_documents() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        apis = await shard.tenancy.apis.read(WS)
        for each in WORKLOAD_TYPES:
            assert apis.find(each.group, each.resource.version, each.plural) is not None, each.plural
        core = resource_list(apis, "", "v1")
        assert core is not None
        names = [resource["name"] for resource in core["resources"]]
        assert {"pods", "pods/status", "secrets", "services", "replicationcontrollers/scale"} <= set(names)
        assert [name for name in names if "/" not in name] == sorted(name for name in names if "/" not in name)
        listed = group_list(apis)["groups"]
        assert [group["name"] for group in listed][:2] == ["apps", "events.k8s.io"]
        definition, version = apis.find("apps", "v1", "deployments") or pytest.fail("no deployments")
        schemas = {name: orjson.loads(made) for name, made in fragment(definition, version).schemas.items()}
        containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
        assert containers["x-kubernetes-list-map-keys"] == ["name"] and containers["x-kubernetes-patch-merge-key"] == "name"
        either = {
            "description": "A whole number, or a text.",
            "format": "int-or-string",
            "oneOf": [{"type": "integer"}, {"type": "string"}],
        }
        assert schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] == either


async def test_others_are_not_served_them() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        await shard.cluster(OTHER, "root:other")
        await shard.namespace(OTHER, "default")
        status, _ = await shard.call("GET", PODS.replace(WS, OTHER), MASTER)
        assert status == 404


async def test_all_who_bind_them_share_one_set() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        await shard.cluster(OTHER, "root:other")
        await shard.bind(OTHER, "root", WORKLOADS_EXPORT)
        apis = shard.tenancy.apis
        assert await apis.read(WS) is await apis.read(OTHER)
        record = shard.cell.range_of(OTHER).get(Key(OTHER, API_BINDINGS, "", WORKLOADS_EXPORT))
        # What each of them takes beside that is its binding.
        assert record is not None and len(record.value) < 12 << 10


async def test_an_export_of_a_tenant_with_its_own_deployments_works() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        await shard.cluster(OTHER, "root:other")
        await shard.namespace(OTHER, "default")
        await shard.export("root", "deployments", group="apps")
        await shard.bind(OTHER, "root", "deployments")
        own = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "mine"}, "spec": {"intent": "x"}}
        status, made = await shard.call("POST", f"/clusters/{OTHER}/apis/apps/v1/namespaces/default/deployments", MASTER, own)
        assert status == 201, made
        _, found = await shard.call("GET", DEPLOYMENTS, MASTER)
        assert found["items"] == []


async def test_another_provider_may_claim_pods() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        await shard.call(
            "POST",
            PODS,
            MASTER,
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}]}},
        )
        wanted = claim("", "pods", identity=shard.identity("root", WORKLOADS_EXPORT))
        await shard.export("root", claims=[wanted])
        await shard.bind(WS, "root", "cowboys", claims=[accepted(wanted)])
        range_name = shard.cell.range_of(WS).name
        view = f"/ranges/{range_name}/services/apiexport/root/cowboys/clusters/*/api/v1/pods"
        status, found = await shard.call("GET", view, MASTER)
        assert status == 200 and [each["metadata"]["name"] for each in found["items"]] == ["p"]
        _, whole = await shard.call("GET", view.replace("cowboys", WORKLOADS_EXPORT), MASTER)
        assert [each["metadata"]["name"] for each in whole["items"]] == ["p"]


async def test_quotas_are_exact_and_limit_ranges_set_defaults() -> None:
    whole = ServedShard(whole_admission=True)
    tenancy = whole.tenancy
    tenancy.runner.add(ResourceQuotaController(cell=whole.cell, apis=tenancy.apis, scopes=tenancy.scopes))
    async with whole as shard:
        await bound(shard)
        inside = PODS.removesuffix("pods")
        hard = {"requests.cpu": "1", "pods": "9", "count/configmaps": "1"}
        limits = {"limits": [{"type": "Container", "defaultRequest": {"cpu": "400m"}}]}
        for plural, kind, spec in (("resourcequotas", "ResourceQuota", {"hard": hard}), ("limitranges", "LimitRange", limits)):
            body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "one"}, "spec": spec}
            status, made = await shard.call("POST", f"{inside}{plural}", MASTER, body)
            assert status == 201, made

        def used() -> Any:
            return (shard.get(WS, RESOURCE_QUOTAS, "one", "default") or {}).get("status", {}).get("used")

        await shard.until(lambda: used() == {"requests.cpu": "0", "pods": "0", "count/configmaps": "0"})
        for name in ("a", "b", "c"):
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name},
                "spec": {"containers": [{"name": "x", "image": "x"}]},
            }
            status, made = await shard.call("POST", PODS, MASTER, pod)
            assert status == (403 if name == "c" else 201), made
        assert "requested: requests.cpu=400m, used: requests.cpu=800m, limited: requests.cpu=1" in made["message"]
        assert used()["requests.cpu"] == "800m"
        ended = {"status": {"phase": "Succeeded"}}
        await shard.call("PATCH", f"{PODS}/a/status", MASTER, ended, **STRATEGIC)
        assert used() == {"requests.cpu": "400m", "pods": "1", "count/configmaps": "0"}
        await shard.call("DELETE", f"{PODS}/b", MASTER)
        await shard.until(lambda: used() == {"requests.cpu": "0", "pods": "0", "count/configmaps": "0"})


_UNUSED = """
import asyncio
from tenantry.kube.workloads import facts
from tests.support.people import MASTER
from tests.support.tenancies import ServedShard

async def main():
    async with ServedShard() as shard:
        await shard.cluster("0001111111111111", "root:ws")
        await shard.export("root", "deployments", group="apps")
        await shard.bind("0001111111111111", "root", "deployments")
        await shard.call("GET", "/clusters/0001111111111111/apis/apps/v1/deployments", MASTER)
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}
        await shard.call("POST", "/clusters/0001111111111111/api/v1/namespaces/default/pods", MASTER, body)
    assert not facts.messages_are_read()

asyncio.run(main())
import sys
assert "tenantry.kube.workloads.definitions" not in sys.modules
"""


def test_a_process_in_which_nobody_binds_them_does_not_read_them() -> None:
    done = subprocess.run([sys.executable, "-c", _UNUSED], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("each", WORKLOAD_TYPES, ids=lambda each: each.plural)
def test_a_schema_changes_its_name_with_its_content(each: Any) -> None:
    assert each.schema_name.endswith(f".{each.plural}.{each.group or 'core'}")
