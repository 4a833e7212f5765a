"""Labels and annotations of the platform are the platform's, on every type, by every verb, subresource and view."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import orjson

from tenantry.apiserver.user import KCP_ADMIN_GROUP, SCOPES_EXTRA, User
from tenantry.kube.objects import GroupResource, Object
from tenantry.tenancy.reserved_keys import ANNOTATIONS, LABELS, OPEN, is_privileged, is_reserved
from tenantry.tenancy.types import EXPORTED_TYPES, SYSTEM_TYPES
from tests.support.clusters import CLUSTER, ServedCluster, config_map, definition
from tests.support.people import person
from tests.support.sources import sources
from tests.support.tenancies import accepted, claim

ADA = person("ada")
ADMINISTRATOR = person("kcp-admin", KCP_ADMIN_GROUP)
MERGE, JSON_PATCH, STRATEGIC = (
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
)
APPLY = "application/apply-patch+yaml"
KEY = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]+/[A-Za-z0-9._-]*")
OTHERS = ("k8s.io", "kubernetes.io", "googleapis.com")
"""Domains of keys that are not this platform's."""
FINALIZERS = {
    "core.kcp.io/logicalcluster",
    "core.kcp.io/logicalcluster-deletion",
    "kcp.io/has-terminators",
    "apis.kcp.io/apibinding-finalizer",
}
OF_USERS = {
    "extra.apis.kcp.io/",
    "apis.v1alpha2.kcp.io/resource-schemas",
    "apis.v1alpha2.kcp.io/permission-claims",
    "apis.v1alpha2.kcp.io/v1alpha1-permission-claims",
    "apis.v1alpha2.kcp.io/acceptable-permission-claims",
    "apis.v1alpha2.kcp.io/status-export-permission-claims",
    "apis.v1alpha2.kcp.io/status-applied-permission-claims",
    "apiexports.apis.kcp.io/skip-endpointslice",
    "experimental.quota.kcp.io/cluster-scoped",
    "experimental.core.kcp.io/unschedulable",
}
"""Keys in the code that users set on some type. Whoever adds one thinks about who writes it, here and in `OPEN`."""
KEYS = [
    (ANNOTATIONS, "internal.tenancy.kcp.io/type"),
    (ANNOTATIONS, "internal.tenancy.kcp.io/cluster"),
    (ANNOTATIONS, "internal.tenancy.kcp.io/shard"),
    (ANNOTATIONS, "internal.apis.kcp.io/resource-bindings"),
    (ANNOTATIONS, "internal.kcp.io/replicate"),
    (ANNOTATIONS, "internal.kcp.io/inactive"),
    (ANNOTATIONS, "authorization.kcp.io/required-groups"),
    (ANNOTATIONS, "experimental.tenancy.kcp.io/owner"),
    (ANNOTATIONS, "core.kcp.io/max-total-objects"),
    (ANNOTATIONS, "core.kcp.io/inactive"),
    (ANNOTATIONS, "core.kcp.io/shard"),
    (ANNOTATIONS, "kcp.io/path"),
    (LABELS, "claimed.internal.apis.kcp.io/x"),
    (LABELS, "initializer.internal.kcp.io/x"),
    (LABELS, "terminator.internal.kcp.io/x"),
    (LABELS, "internal.apis.kcp.io/export"),
    (LABELS, "tenancy.kcp.io/phase"),
    (LABELS, "internal.kcp.io/own"),
]
ALL_TYPES = [*SYSTEM_TYPES, *(t for types in EXPORTED_TYPES.values() for t in types)]
NAMED_TYPES = [(t.group, t.plural) for t in ALL_TYPES] + [("", "configmaps"), ("", "resourcequotas"), ("x.example", "widgets")]


def constants() -> Iterator[str]:
    """Every string in the code that could be the key of a label or annotation, but for texts about the code."""
    for path, tree in sources():
        if path.endswith("/reserved_keys.py"):
            continue
        about = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in about:
                text = node.value
                if KEY.fullmatch(text) and not text.partition("/")[0].endswith(OTHERS):
                    yield text


def test_every_key_in_the_code_is_covered() -> None:
    """A new key is the platform's by its domain, or somebody thought about who writes it."""
    versions = {f"{t.group}/{v.name}" for t in ALL_TYPES for v in t.versions}
    resources = {f"{t.group}/{t.plural}" for t in ALL_TYPES}
    keys = set(constants()) - versions - resources - FINALIZERS
    assert {"core.kcp.io/shard", "kcp.io/path", "claimed.internal.apis.kcp.io/", "tenancy.kcp.io/phase"} <= keys
    open_to_somebody = set()
    for key in keys:
        for field in (LABELS, ANNOTATIONS):
            reserved = {is_reserved(field, key, GroupResource(*each)) for each in NAMED_TYPES}
            if reserved != {True}:
                open_to_somebody.add(key)
    assert open_to_somebody == OF_USERS & keys
    assert keys >= OF_USERS, "what is gone from the code needs no exception"


def test_what_is_open_is_open_on_its_types_alone() -> None:
    for each in OPEN:
        key = each.prefix + ("x" if each.prefix.endswith("/") else "")
        other = LABELS if each.field == ANNOTATIONS else ANNOTATIONS
        for resource in each.types:
            assert not is_reserved(each.field, key, resource)
            assert is_reserved(other, key, resource)
        if each.types:
            assert is_reserved(each.field, key, GroupResource("", "configmaps"))
    for free in ("example.com/x", "kcp.io", "notkcp.io/x", "kcp.io.example/x", "app", ""):
        assert not is_reserved(LABELS, free, GroupResource("", "configmaps"))


def test_privilege_is_of_the_caller_and_of_the_cluster() -> None:
    assert is_privileged(ADMINISTRATOR, CLUSTER)
    assert not is_privileged(ADA, CLUSTER)
    elsewhere = User("x", (KCP_ADMIN_GROUP,), extra=((SCOPES_EXTRA, ("cluster:other",)),))
    assert not is_privileged(elsewhere, CLUSTER)
    warrant = orjson.dumps({"user": "w", "groups": [KCP_ADMIN_GROUP, "system:masters"]}).decode()
    assert not is_privileged(User("x", (), extra=(("authorization.kcp.io/warrant", (warrant,)),)), CLUSTER)


LOGICAL_CLUSTER = f"/clusters/{CLUSTER}/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"


async def whole_world(shard: ServedCluster) -> dict[str, str]:
    """One object of each kind of type, by its path."""
    await shard.export(CLUSTER)
    await shard.bind(CLUSTER, CLUSTER, "cowboys")
    crd = definition("widgets", "Widget")
    version = crd["spec"]["versions"][0]
    version["subresources"] = {
        "status": {},
        "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
    }
    await shard.post("customresourcedefinitions", crd, "")
    widgets = f"/clusters/{CLUSTER}/apis/x.example/v1/namespaces/default/widgets"

    async def served() -> bool:
        return (await shard.call("GET", widgets, ADA))[0] == 200

    await shard.idle()
    assert await served()
    widget: Object = {"apiVersion": "x.example/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"replicas": 1}}
    assert (await shard.call("POST", widgets, ADA, widget))[0] == 201
    cowboys = f"/clusters/{CLUSTER}/apis/wild.west/v1/namespaces/default/cowboys"
    cowboy: Object = {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": "c"}, "spec": {"size": 1}}
    assert (await shard.call("POST", cowboys, ADA, cowboy))[0] == 201
    await shard.post("configmaps", config_map("m"), who=ADA)
    await shard.bind_role("root", "ada", "cluster-admin", "ada")
    await shard.put("root", "tenancy.kcp.io", "workspacetypes", {"metadata": {"name": "special"}, "spec": {}})
    await shard.put("root", "tenancy.kcp.io", "workspaces", {"metadata": {"name": "child"}, "spec": {}})
    await shard.idle()
    base = f"/clusters/{CLUSTER}"
    return {
        LOGICAL_CLUSTER: "LogicalCluster",
        f"{base}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys": "APIBinding",
        f"{base}/apis/apis.kcp.io/v1alpha1/apibindings/cowboys": "APIBinding",
        f"{base}/apis/apis.kcp.io/v1alpha2/apiexports/cowboys": "APIExport",
        f"{base}/api/v1/namespaces/default": "Namespace",
        f"{base}/api/v1/namespaces/default/configmaps/m": "ConfigMap",
        "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspacetypes/special": "WorkspaceType",
        "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/child": "Workspace",
        f"{widgets}/w": "Widget",
        f"{cowboys}/c": "Cowboy",
    }


def metadata_of(obj: Object) -> tuple[Any, Any]:
    return obj["metadata"].get(LABELS), obj["metadata"].get(ANNOTATIONS)


async def test_nobody_else_writes_a_key_of_the_platform() -> None:
    async with ServedCluster() as shard:
        paths = await whole_world(shard)
        for path, kind in paths.items():
            before = (await shard.call("GET", path, ADA))[1]
            assert before.get("kind") == kind, before
            subresources = [""]
            if kind in ("Namespace", "Widget", "Cowboy", "LogicalCluster"):
                subresources.append("/status")
            for field, key in KEYS:
                value = "999"
                patch: Object = {"metadata": {field: {key: value}}}
                operation = [{"op": "add", "path": f"/metadata/{field}", "value": {key: value}}]
                applied = {
                    "apiVersion": before["apiVersion"],
                    "kind": kind,
                    "metadata": {"name": before["metadata"]["name"]} | patch["metadata"],
                }
                if kind == "APIBinding":
                    applied["spec"] = {"reference": before["spec"]["reference"]}
                put = orjson.loads(orjson.dumps(before))
                put["metadata"].setdefault(field, {})[key] = value
                for subresource in subresources:
                    where = path + subresource
                    answers = [
                        await shard.call("PATCH", where, ADA, patch, content_type=MERGE),
                        await shard.call("PATCH", where, ADA, operation, content_type=JSON_PATCH),
                        await shard.call("PATCH", where, ADA, applied, "fieldManager=me&force=true", content_type=APPLY),
                        await shard.call("PUT", where, ADA, put),
                    ]
                    for status, answer in answers:
                        assert status in (403, 422) or (status == 409 and "modified" in answer["message"]), (where, key, answer)
                        if status == 403:
                            assert key in answer["message"] or "annotation" in answer["message"], answer
            after = (await shard.call("GET", path, ADA))[1]
            assert metadata_of(after) == metadata_of(before), path


async def test_nobody_else_takes_one_off_and_what_is_unchanged_passes() -> None:
    async with ServedCluster() as shard:
        limit = {"metadata": {ANNOTATIONS: {"core.kcp.io/max-total-objects": "500"}}}
        assert (await shard.call("PATCH", LOGICAL_CLUSTER, ADMINISTRATOR, limit, content_type=MERGE))[0] == 200
        for gone in (
            {"metadata": {ANNOTATIONS: {"core.kcp.io/max-total-objects": None}}},
            {"metadata": {ANNOTATIONS: None}},
            {"metadata": {LABELS: None, ANNOTATIONS: {"core.kcp.io/max-total-objects": "501"}}},
        ):
            status, answer = await shard.call("PATCH", LOGICAL_CLUSTER, ADA, gone, content_type=MERGE)
            assert (status, "core.kcp.io/max-total-objects" in answer["message"]) == (403, True)
        whole = (await shard.call("GET", LOGICAL_CLUSTER, ADA))[1]
        whole["metadata"][ANNOTATIONS]["example.com/mine"] = "1"
        assert (await shard.call("PUT", LOGICAL_CLUSTER, ADA, whole))[0] == 200
        found = (await shard.call("GET", LOGICAL_CLUSTER, ADA))[1]["metadata"][ANNOTATIONS]
        assert (found["core.kcp.io/max-total-objects"], found["example.com/mine"]) == ("500", "1")
        owner = {"spec": {"owner": {"apiVersion": "v1", "resource": "x", "name": "x", "cluster": "x", "uid": "x"}}}
        assert (await shard.call("PATCH", LOGICAL_CLUSTER, ADA, owner, content_type=MERGE))[0] == 403


async def test_nobody_else_creates_with_one() -> None:
    async with ServedCluster() as shard:
        url = shard.url("configmaps", "")
        for field, key in KEYS:
            marked: dict[str, Any] = {field: {key: "x"}}
            status, answer = await shard.call("POST", url, ADA, config_map("new", **marked))
            assert (status, f"metadata.{field}[{key}]" in answer["message"]) == (403, True)
            assert (await shard.call("POST", url, ADMINISTRATOR, config_map(f"c{abs(hash(key))}", **marked)))[0] == 201
        many = {f"internal.kcp.io/k{number}": "x" for number in range(100)}
        _, answer = await shard.call("POST", url, ADA, config_map("new", annotations=many))
        assert answer["message"].count("Forbidden") == 10
        assert answer["message"].endswith("and 90 more")
        elsewhere = config_map("copied", annotations={"kcp.io/cluster": "another"})
        assert (await shard.post("configmaps", elsewhere, who=ADA))["metadata"][ANNOTATIONS] == {"kcp.io/cluster": CLUSTER}


async def test_what_the_platform_would_write_may_be_sent() -> None:
    """Objects that are read, changed elsewhere and sent again bear what they were given."""
    async with ServedCluster() as shard:
        await shard.export(CLUSTER, claims=[claim("", "configmaps")])
        await shard.bind(CLUSTER, CLUSTER, "cowboys", claims=[accepted(claim("", "configmaps"), matchLabels={"a": "b"})], who=ADA)
        await shard.idle()
        path = f"/clusters/{CLUSTER}/apis/apis.kcp.io/v1alpha2/apibindings"
        binding = (await shard.call("GET", f"{path}/cowboys", ADA))[1]
        assert (await shard.call("DELETE", f"{path}/cowboys", ADA))[0] == 200
        await shard.idle()
        sent = {k: v for k, v in binding.items() if k != "status"}
        sent["metadata"] = {k: v for k, v in binding["metadata"].items() if k in ("name", LABELS, ANNOTATIONS)}
        status, answer = await shard.call("POST", path, ADA, sent)
        assert status == 201, answer
        await shard.idle()
        claimed = await shard.post("configmaps", config_map("m", labels={"a": "b"}), who=ADA)
        (label,) = set(claimed["metadata"][LABELS]) - {"a"}
        assert label.startswith("claimed.internal.apis.kcp.io/")
        copied = config_map("copied", labels=claimed["metadata"][LABELS])
        assert (await shard.post("configmaps", copied, who=ADA))["metadata"][LABELS] == copied["metadata"][LABELS]
        # Left out, it is written again; what the selector does not find loses it.
        replaced = {**claimed, "metadata": {"name": "m", LABELS: {"a": "b", "c": "d"}}}
        status, answer = await shard.call("PUT", shard.url("configmaps", "m"), ADA, replaced)
        assert (status, set(answer["metadata"][LABELS])) == (200, {"a", "c", label})
        replaced["metadata"][LABELS] = {"c": "d"}
        assert (await shard.call("PUT", shard.url("configmaps", "m"), ADA, replaced))[0] == 200
        forged = config_map("forged", labels={"c": "d", label: claimed["metadata"][LABELS][label]})
        assert (await shard.refused("configmaps", forged, who=ADA))[0] == 403


async def test_what_is_left_out_of_a_replacement_is_written_again() -> None:
    async with ServedCluster() as shard:
        await shard.export(CLUSTER)
        path = f"/clusters/{CLUSTER}/apis/apis.kcp.io/v1alpha2/apiexports/cowboys"
        found = (await shard.call("GET", path, ADA))[1]
        body = {**found, "metadata": {"name": "cowboys", "resourceVersion": found["metadata"]["resourceVersion"]}}
        status, answer = await shard.call("PUT", path, ADA, body)
        assert status == 200, answer


async def test_users_set_what_is_theirs() -> None:
    async with ServedCluster() as shard:
        await shard.export(CLUSTER)
        base = f"/clusters/{CLUSTER}/apis/apis.kcp.io/v1alpha2/apiexports/cowboys"
        mine = {"extra.apis.kcp.io/color": "red", "apiexports.apis.kcp.io/skip-endpointslice": "true"}
        status, answer = await shard.call("PATCH", base, ADA, {"metadata": {ANNOTATIONS: mine}}, content_type=MERGE)
        assert status == 200, answer
        quota = {
            "metadata": {"name": "q", "annotations": {"experimental.quota.kcp.io/cluster-scoped": "true"}},
            "spec": {"hard": {"count/configmaps": "9"}},
        }
        await shard.post("resourcequotas", quota, who=ADA)
        await shard.post("configmaps", config_map("m", labels={"syncagent.kcp.io/agent-name": "a"}), who=ADA)


async def test_a_providers_view_writes_none_of_them() -> None:
    async with ServedCluster() as shard:
        await shard.cluster("rprovider0000000", owner="paul")
        await shard.export("rprovider0000000", claims=[claim("core.kcp.io", "logicalclusters"), claim("", "configmaps")])
        asked = [accepted(claim("core.kcp.io", "logicalclusters")), accepted(claim("", "configmaps"))]
        await shard.bind(CLUSTER, "rprovider0000000", "cowboys", claims=asked)
        await shard.idle()
        view = f"/services/apiexport/rprovider0000000/cowboys/clusters/{CLUSTER}"
        paul = person("paul")
        patch = {"metadata": {ANNOTATIONS: {"internal.tenancy.kcp.io/type": "root:other"}}}
        path = f"{view}/apis/core.kcp.io/v1alpha1/logicalclusters/cluster"
        assert (await shard.call("GET", path, paul))[0] == 200
        assert (await shard.call("PATCH", path, paul, patch, content_type=MERGE))[0] == 403
        body = config_map("m", annotations={"core.kcp.io/shard": "x"})
        assert (await shard.call("POST", f"{view}/api/v1/namespaces/default/configmaps", paul, body))[0] == 403
