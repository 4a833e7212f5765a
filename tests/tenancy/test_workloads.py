"""The export `kubernetes-workloads` of root: who binds it has Kubernetes' workload types, and nobody else notices."""

from __future__ import annotations

import asyncio
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
from tenantry.tenancy.quota_totals import QuotaTotals
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
        either = schemas["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
        assert either.pop("description")
        assert either == {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}


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


async def test_limit_ranges_take_no_more_than_a_turn() -> None:
    async with ServedShard(whole_admission=True) as shard:
        await bound(shard)
        limit_ranges = PODS.removesuffix("pods") + "limitranges"

        async def limits(name: str, *items: Any) -> None:
            body = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": name}, "spec": {"limits": list(items)}}
            assert (await shard.call("POST", limit_ranges, MASTER, body))[0] == 201

        async def made(name: str, containers: int) -> tuple[int, Any]:
            each = [{"name": f"c{number}", "image": "x"} for number in range(containers)]
            return await shard.call("POST", PODS, MASTER, {"metadata": {"name": name}, "spec": {"containers": each}})

        amounts = {f"example.com/r{number}": "1" for number in range(50)}
        await limits("some", {"type": "Container", "defaultRequest": amounts, "default": amounts})
        status, pod = await made("few", 10)
        assert status == 201 and pod["spec"]["containers"][9]["resources"] == {"limits": amounts, "requests": amounts}
        status, refused = await made("many", 30)
        assert status == 403 and "more than 2000 steps" in refused["message"]
        await limits("long", {"type": "Pod", "max": {f"example.com/{'r' * 40}{number}": "1" for number in range(1200)}})
        status, refused = await made("one", 1)
        assert status == 403 and "more than 65536 bytes" in refused["message"]


async def test_a_count_is_exact_while_pods_come_and_go() -> None:
    async with ServedShard() as shard:
        await bound(shard)
        range_ = shard.cell.range_of(WS)
        pods = (await shard.tenancy.apis.read(WS)).find("", "v1", "pods")
        assert pods is not None

        async def pod(name: str, cpu: str) -> None:
            spec = {"containers": [{"name": "a", "image": "x", "resources": {"requests": {"cpu": cpu}}}]}
            await shard.call("POST", PODS, MASTER, {"metadata": {"name": name}, "spec": spec})

        for number in range(40):
            await pod(f"p{number:02}", "1")
        quota = {"spec": {"hard": {"requests.cpu": "1", "pods": "1"}}}
        counting = QuotaTotals(range_, Key(WS, RESOURCE_QUOTAS, "default", "q"), quota, [pods[0]])
        entering = asyncio.ensure_future(counting.__aenter__())
        for number in range(10):
            await shard.call("DELETE", f"{PODS}/p{number * 3:02}", MASTER)
            await pod(f"n{number}", "2")
        await entering
        assert counting.now() == {"requests.cpu": "50", "pods": "40"}
        await pod("last", "500m")
        assert counting.now() == {"requests.cpu": "50500m", "pods": "41"}
        await counting.__aexit__()


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


async def test_null_is_the_zero_value_in_lists_and_maps_also_in_protobuf() -> None:
    media_type = protobuf.MEDIA_TYPE
    async with ServedShard() as shard:
        await bound(shard)
        security = {"supplementalGroups": [None, 7]}
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "x"}], "securityContext": security}}
        status, made = await shard.call("POST", PODS, MASTER, pod, accept=media_type)
        assert status == 201, made
        assert made["spec"]["securityContext"]["supplementalGroups"] == [0, 7]
        budgets = f"/clusters/{WS}/apis/policy/v1/namespaces/default/poddisruptionbudgets"
        await shard.call("POST", budgets, MASTER, {"metadata": {"name": "b"}, "spec": {"selector": {}}})
        disrupted = {"status": {"disruptedPods": {"a": "0001-01-01T00:00:00Z", "b": None, "c": "2026-01-01T00:00:00Z"}}}
        merge = {"content_type": "application/merge-patch+json"}
        await shard.call("PATCH", f"{budgets}/b/status", MASTER, disrupted, **merge)
        status, found = await shard.call("GET", f"{budgets}/b", MASTER, accept=media_type)
        assert status == 200, found
        assert found["status"]["disruptedPods"]["c"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("annotations", [-1, "kcp.io/cluster", ["kcp.io/cluster"], ["kcp.io/cluster", "x"]], ids=str)
async def test_an_apply_with_annotations_of_a_wrong_type_is_answered(annotations: Any) -> None:
    async with ServedShard() as shard:
        await bound(shard)
        config = deployment({"name": "a", "image": "a"})
        config["metadata"]["annotations"] = annotations
        for _ in range(2):
            _, answer = await shard.call("PATCH", f"{DEPLOYMENTS}/web", MASTER, config, "fieldManager=m", **APPLY)
            assert ".metadata.annotations: expected map" in answer["message"]


async def test_autoscalers_have_two_versions_with_fields_of_their_own() -> None:
    autoscalers = f"/clusters/{WS}/apis/autoscaling/%s/namespaces/default/horizontalpodautoscalers"
    old, new = autoscalers % "v1", autoscalers % "v2"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}

    def config(version: str, **spec: Any) -> Any:
        whole = {"scaleTargetRef": target, "maxReplicas": 3, **spec}
        return {
            "apiVersion": f"autoscaling/{version}",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a"},
            "spec": whole,
        }

    async with ServedShard() as shard:
        await bound(shard)
        status, made = await shard.call(
            "PATCH", f"{old}/a", MASTER, config("v1", targetCPUUtilizationPercentage=30), **_by("one")
        )
        assert (status, made["spec"]["minReplicas"]) == (201, 1)
        metric = {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 10}}}
        status, made = await shard.call("PATCH", f"{new}/a", MASTER, config("v2", metrics=[metric]), **_by("two", force=True))
        assert (status, made["spec"]["metrics"], made["metadata"]["generation"]) == (200, [metric], 2)
        owned = {entry["manager"]: entry["fieldsV1"]["f:spec"] for entry in made["metadata"]["managedFields"]}
        assert set(owned["one"]) == {"f:maxReplicas", "f:scaleTargetRef"} and "f:metrics" in owned["two"]
        status, refused = await shard.call(
            "PATCH", f"{old}/a", MASTER, config("v1", targetCPUUtilizationPercentage=31), **_by("one")
        )
        assert status == 409, refused
        _, shown = await shard.call("GET", f"{old}/a", MASTER)
        text = '[{"type":"Resource","resource":{"name":"memory","targetAverageUtilization":10}}]'
        assert shown["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"] == text
        patch = {"metadata": {"annotations": {"autoscaling.alpha.kubernetes.io/metrics": None}}}
        _, patched = await shard.call("PATCH", f"{old}/a", MASTER, patch, **STRATEGIC)
        assert (patched["spec"]["targetCPUUtilizationPercentage"], patched["metadata"]["generation"]) == (80, 3)
        table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        rows = [(await shard.call("GET", url, MASTER, **table))[1]["rows"][0]["cells"][:6] for url in (old, new)]
        assert rows == [["a", "Deployment/d", "cpu: <unknown>/80%", "1", 3, 0]] * 2
        wrong = config("v1", targetCPUUtilizationPercentage=0)
        wrong["metadata"] = {"name": "b"}
        status, refused = await shard.call("POST", old, MASTER, wrong)
        assert [cause["field"] for cause in refused["details"]["causes"]] == [
            "spec.metrics[0].resource.target.averageUtilization"
        ]


def _by(manager: str, *, force: bool = False) -> Any:
    return {"query": f"fieldManager={manager}" + ("&force=true" if force else ""), **APPLY}


@pytest.mark.parametrize(
    ("group", "plural", "kind", "fields", "patches"),
    [
        ("storage.k8s.io", "csidrivers", "CSIDriver", {"spec": {}}, [({"spec": {"podInfoOnMount": True}}, 1)]),
        ("scheduling.k8s.io", "priorityclasses", "PriorityClass", {"value": 5}, [({"description": "x"}, 1)]),
        (
            "discovery.k8s.io",
            "endpointslices",
            "EndpointSlice",
            {"addressType": "IPv4", "endpoints": []},
            [({"metadata": {"annotations": {"a": "b"}}}, 1), ({"metadata": {"labels": {"a": "b"}}}, 2)],
        ),
        (
            "networking.k8s.io",
            "ingressclasses",
            "IngressClass",
            {"spec": {"controller": "a.io/b"}},
            [({"metadata": {"labels": {"a": "b"}}}, 1), ({"spec": {"parameters": {"kind": "K", "name": "n"}}}, 2)],
        ),
    ],
)
async def test_what_counts_for_the_generation(group: str, plural: str, kind: str, fields: Any, patches: Any) -> None:
    namespace = "/namespaces/default" if kind == "EndpointSlice" else ""
    url = f"/clusters/{WS}/apis/{group}/v1{namespace}/{plural}"
    async with ServedShard() as shard:
        await bound(shard)
        body = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "a"}, **fields}
        status, made = await shard.call("POST", url, MASTER, body)
        assert status == 201, made
        assert made["metadata"].get("generation") == (None if kind == "CSIDriver" else 1)
        for patch, generation in patches:
            status, made = await shard.call("PATCH", f"{url}/a", MASTER, patch, **STRATEGIC)
            assert (status, made["metadata"]["generation"]) == (200, generation)
