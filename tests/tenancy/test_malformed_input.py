"""What reconcilers and admission read is input: nothing that is stored makes one of them fail, let alone again and again."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.tenancy.exports import resource_locks
from tenantry.tenancy.exports.permission_claims import claim_selector
from tenantry.tenancy.types.conversion import (
    ACCEPTABLE_CLAIMS,
    APPLIED_CLAIMS_STATUS,
    EXPORT_CLAIMS_STATUS,
    OLD_PERMISSION_CLAIMS,
    PERMISSION_CLAIMS,
    RESOURCE_SCHEMAS,
    binding_down,
    binding_up,
    export_down,
    export_up,
)
from tenantry.tenancy.workspaces.owner_annotation import owner_user
from tenantry.tenancy.workspaces.state import set_phase
from tests.support.clusters import CLUSTER, ServedCluster, config_map
from tests.support.logged import failures
from tests.support.people import person
from tests.support.tenancies import accepted, claim
from tests.tenancy.admission.test_reserved_metadata import KEYS

ADA = person("ada")
GARBAGE = (
    "",
    "x",
    "true",
    "null",
    "[]",
    "[5]",
    "{}",
    '{"a":1}',
    '{"configmaps":{"n":5},"secrets":[],"cowboys.wild.west":{"n":["x"]}}',
    '{"username":5}',
    '{"username":"x","groups":"y","extra":{"a":"b","c":[1]},"uid":{}}',
    "[" * 100_000,
    "9" * 10_000,
    ":" * 1000,
    "root:none:none",
    "\u0000\ud7ff/../..",
    "x" * 200_000,
)
ANNOTATIONS = sorted({key for field, key in KEYS if field == "annotations"})
INACTIVE = ("core.kcp.io/inactive", "internal.kcp.io/inactive")
CONVERSIONS = (
    RESOURCE_SCHEMAS,
    PERMISSION_CLAIMS,
    OLD_PERMISSION_CLAIMS,
    ACCEPTABLE_CLAIMS,
    EXPORT_CLAIMS_STATUS,
    APPLIED_CLAIMS_STATUS,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    "schema",
                    "name",
                    "group",
                    "resource",
                    "identityHash",
                    "verbs",
                    "selector",
                    "resourceSelector",
                    "storage",
                    "n",
                    "username",
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
texts = json_values.map(lambda value: orjson.dumps(value).decode()) | st.text(max_size=20)


class WholeShard(ServedCluster):
    """With the controllers of workspaces as well: all that a shard has."""

    def __init__(self) -> None:
        super().__init__()
        self.tenancy.runner.add(*self.tenancy.workspace_controllers())


async def everything(shard: ServedCluster) -> list[tuple[str, str, str, str]]:
    """(cluster, group, plural, name) of one object of each type that carries what the platform reads."""
    await shard.export(CLUSTER, claims=[claim("", "configmaps")])
    await shard.bind(CLUSTER, CLUSTER, "cowboys", claims=[accepted(claim("", "configmaps"))])
    maintained = {
        "defaultAPIBindings": [{"path": CLUSTER, "export": "cowboys"}],
        "defaultAPIBindingLifecycle": "Maintain",
        "additionalWorkspaceLabels": {"tenancy.kcp.io/phase": "Ready", "fine": "yes"},
    }
    await shard.put("root", "tenancy.kcp.io", "workspacetypes", {"metadata": {"name": "special"}, "spec": maintained})
    reference = {"type": {"name": "universal", "path": "root"}}
    await shard.put("root", "tenancy.kcp.io", "workspaces", {"metadata": {"name": "child"}, "spec": reference})
    await shard.idle()
    return [
        (CLUSTER, "core.kcp.io", "logicalclusters", "cluster"),
        (CLUSTER, "apis.kcp.io", "apibindings", "cowboys"),
        (CLUSTER, "apis.kcp.io", "apiexports", "cowboys"),
        ("root", "tenancy.kcp.io", "workspacetypes", "special"),
        ("root", "tenancy.kcp.io", "workspaces", "child"),
    ]


async def touched(shard: ServedCluster) -> None:
    """A type and an export change, so that who looks at all clusters looks again."""
    await shard.edit("root", "tenancy.kcp.io", "workspacetypes", "special", lambda obj: obj["metadata"].update(labels={"a": "b"}))
    await shard.edit("root", "tenancy.kcp.io", "workspacetypes", "special", lambda obj: obj["metadata"].pop("labels"))
    await shard.idle()


@pytest.mark.parametrize("text", GARBAGE, ids=lambda text: text[:12].encode("unicode_escape").decode() or "empty")
async def test_no_annotation_or_label_makes_a_controller_or_admission_fail(text: str, caplog: pytest.LogCaptureFixture) -> None:
    async with WholeShard() as shard:
        places = await everything(shard)
        caplog.clear()

        def spoil(obj: Object) -> None:
            kept = obj["metadata"].get("annotations") or {}
            obj["metadata"]["annotations"] = {**kept, **dict.fromkeys((*ANNOTATIONS, *CONVERSIONS), text)}
            labels = {key: text[:63] for field, key in KEYS if field == "labels"}
            obj["metadata"]["labels"] = {**(obj["metadata"].get("labels") or {}), **labels}

        for place in places:
            await shard.edit(*place, spoil)
        await touched(shard)
        assert failures(caplog) == []
        assert not shard.tenancy.runner.broken
        if text == "true":
            await shard.edit(*places[0], lambda obj: [obj["metadata"]["annotations"].pop(key) for key in INACTIVE])
            await shard.idle()
        # Administrators still work: with the cluster, and with the objects in both versions.
        master = person("boss", "system:masters")
        assert (await shard.call("POST", shard.url("configmaps", ""), master, config_map("m")))[0] == 201
        for version in ("v1alpha1", "v1alpha2"):
            for plural in ("apibindings", "apiexports"):
                path = f"/clusters/{CLUSTER}/apis/apis.kcp.io/{version}/{plural}"
                status, answer = await shard.call("GET", path, master)
                assert status == 200, answer
        await shard.export(CLUSTER, "sheriffs")
        await shard.bind(CLUSTER, CLUSTER, "sheriffs")
        assert failures(caplog) == []


STATUSES: dict[str, Any] = {
    "logicalclusters": [
        {"phase": "Initializing", "initializers": ["system:apibindings", "no:such", "system:x"]},
        {
            "phase": "Unavailable",
            "terminators": ["no:such"],
            "conditions": [{"type": "X", "status": "True", "lastTransitionTime": "x"}],
        },
        {},
    ],
    "apibindings": [
        {"phase": "Bound", "apiExportClusterName": "no:such", "boundResources": []},
        {
            "phase": "Binding",
            "apiExportClusterName": "elsewhere",
            "boundResources": [
                {
                    "group": "",
                    "resource": "configmaps",
                    "schema": {"name": "x", "UID": "x", "identityHash": "x"},
                    "storageVersions": [],
                }
            ],
            "appliedPermissionClaims": [{"group": "", "resource": "configmaps", "verbs": ["*"], "selector": {}}],
        },
        {},
    ],
    "apiexports": [{"identityHash": "x"}, {"identityHash": "", "virtualWorkspaces": [{"url": "x"}]}, {}],
    "workspacetypes": [{"virtualWorkspaces": [{"url": "x", "type": "x"}]}, {}],
    "workspaces": [{"phase": "Ready"}, {"phase": "Deleting", "initializers": ["no:such"]}, {}],
}


def _with_status(status: Any, obj: Object) -> None:
    obj["status"] = status


async def test_no_status_makes_a_controller_fail(caplog: pytest.LogCaptureFixture) -> None:
    async with WholeShard() as shard:
        places = await everything(shard)
        caplog.clear()
        for place in places:
            for status in STATUSES[place[2]]:
                await shard.edit(*place, partial(_with_status, status))
                await touched(shard)
        assert failures(caplog) == []


async def test_selectors_that_are_none_are_refused_and_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with WholeShard() as shard:
        await everything(shard)
        bad = {"matchExpressions": [{"key": "a b", "operator": "Foo"}]}
        reference = {"export": {"path": CLUSTER, "name": "cowboys"}}
        spec = {"reference": reference, "permissionClaims": [accepted(claim("", "configmaps"), **bad)]}
        body: Object = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "bad"}, "spec": spec}
        status, answer = await shard.call("POST", f"/clusters/{CLUSTER}/apis/apis.kcp.io/v1alpha2/apibindings", ADA, body)
        assert (status, '"Foo" is not a valid label selector operator' in answer["message"]) == (403, True)
        await shard.put(CLUSTER, "apis.kcp.io", "apibindings", {"metadata": {"name": "bad"}, "spec": spec})
        place: Object = {"location": {"selector": bad}, "type": {"name": "universal", "path": "root"}}
        await shard.put("root", "tenancy.kcp.io", "workspaces", {"metadata": {"name": "nowhere"}, "spec": place})
        await shard.idle()
        await shard.post("configmaps", config_map("m"), who=ADA)
        found = shard.get("root", shard.tenancy.definitions.workspaces.storage_key, "nowhere") or {}
        conditions = {c["type"]: c for c in (found.get("status") or {}).get("conditions") or ()}
        assert "is not a valid label selector operator" in conditions["WorkspaceScheduled"]["message"]
        assert failures(caplog) == []


async def test_what_an_old_version_keeps_in_annotations_is_validated() -> None:
    async with WholeShard() as shard:
        await shard.export(CLUSTER, claims=[claim("", "configmaps")])
        base = f"/clusters/{CLUSTER}/apis/apis.kcp.io/v1alpha1"
        kept: tuple[Any, ...] = (
            [{"resource": "configmaps", "verbs": "x"}],
            [{"resource": "configmaps", "verbs": [5], "selector": {"matchAll": True}}],
            [{"resource": "configmaps", "verbs": ["*"], "selector": 5}],
            [{"resource": "configmaps", "verbs": ["*"], "selector": {"matchExpressions": [{"key": "a", "operator": "Foo"}]}}],
        )
        for each in kept:
            body: Object = {
                "apiVersion": "apis.kcp.io/v1alpha1",
                "kind": "APIBinding",
                "metadata": {"name": "cowboys", "annotations": {ACCEPTABLE_CLAIMS: orjson.dumps(each).decode()}},
                "spec": {
                    "reference": {"export": {"path": CLUSTER, "name": "cowboys"}},
                    "permissionClaims": [{"resource": "configmaps", "all": True, "state": "Accepted"}],
                },
            }
            assert (await shard.call("POST", f"{base}/apibindings", ADA, body))[0] in (403, 422), each
        resources: tuple[Any, ...] = (
            [{"schema": "x"}],
            [{"schema": 5}],
            [{"schema": "v1.cowboys.wild.west", "name": "secrets", "group": "", "storage": {"crd": {}}}],
            [{"schema": "v1.cowboys.wild.west", "name": "cowboys", "group": "wild.west", "storage": "x"}],
        )
        for each in resources:
            export: Object = {
                "apiVersion": "apis.kcp.io/v1alpha1",
                "kind": "APIExport",
                "metadata": {"name": "other", "annotations": {RESOURCE_SCHEMAS: orjson.dumps(each).decode()}},
                "spec": {"latestResourceSchemas": ["v1.cowboys.wild.west"]},
            }
            status, answer = await shard.call("POST", f"{base}/apiexports", ADA, export, "dryRun=All")
            if each != [{"schema": 5}]:
                assert status in (403, 422), (each, answer)


@given(st.dictionaries(st.sampled_from(CONVERSIONS), texts))
def test_conversions_take_whatever_is_in_annotations(annotations: dict[str, str]) -> None:
    claims = [{"group": "", "resource": "configmaps", "state": "Accepted", "verbs": ["*"], "selector": {"matchAll": True}}]
    resources = [{"schema": "v1.a.b", "name": "a", "group": "b", "storage": {"crd": {}}}]
    new: Object = {"metadata": {"annotations": annotations}, "spec": {"permissionClaims": claims, "resources": resources}}
    old_claims = [{"group": "", "resource": "configmaps", "all": True}]
    old: Object = {
        "metadata": {"annotations": annotations},
        "spec": {"permissionClaims": old_claims, "latestResourceSchemas": ["v1.a.b"]},
        "status": {"exportPermissionClaims": old_claims, "appliedPermissionClaims": old_claims},
    }
    for convert, obj in ((export_up, old), (binding_up, old), (export_down, new), (binding_down, new)):
        convert(orjson.loads(orjson.dumps(obj)))


@given(texts)
def test_an_owner_is_a_user_or_nobody(text: str) -> None:
    found = owner_user({"experimental.tenancy.kcp.io/owner": text})
    assert set(found) <= {"username", "uid", "groups", "extra"}
    if found:
        assert isinstance(found["username"], str)
        assert all(isinstance(group, str) for group in found.get("groups", ()))
        assert all(isinstance(value, str) for values in found.get("extra", {}).values() for value in values)
    cluster: Object = {
        "metadata": {"annotations": {"experimental.tenancy.kcp.io/owner": text}},
        "status": {"phase": "Initializing"},
    }
    set_phase(cluster, "2026-01-01T00:00:00Z")


@given(texts)
def test_locks_are_locks_or_none(text: str) -> None:
    resource_locks.locked_by_others(resource_locks.parse(text), "b")
    taken = resource_locks.with_locks(text, "b", [{"group": "", "resource": "configmaps"}])
    assert resource_locks.parse(taken)["configmaps"] == {"n": "b"}
    assert "configmaps" not in resource_locks.parse(resource_locks.without_binding(taken, "b"))


def test_a_selector_that_is_none_selects_nothing() -> None:
    selector = claim_selector({"selector": {"matchExpressions": [{"key": "a", "operator": "Foo"}]}})
    assert selector is not None
    assert not selector.matches({"a": "b"})
    assert claim_selector({"selector": {"matchAll": True}}) is None


async def test_labels_of_the_platform_do_not_come_from_a_type() -> None:
    async with WholeShard() as shard:
        await everything(shard)
        resolved = shard.tenancy.workspace_types.resolve("root", "special")
        assert resolved.labels == {"fine": "yes"}
        await shard.bind_role("root", "ada", "cluster-admin", "ada")
        body: Object = {
            "apiVersion": "tenancy.kcp.io/v1alpha1",
            "kind": "WorkspaceType",
            "metadata": {"name": "mine"},
            "spec": {"additionalWorkspaceLabels": {"internal.kcp.io/x": "y"}},
        }
        path = "/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspacetypes"
        status, answer = await shard.call("POST", path, ADA, body)
        assert (status, "additionalWorkspaceLabels[internal.kcp.io/x]" in answer["message"]) == (403, True)
        assert shard.cell.range_of("root").get(Key("root", "tenancy.kcp.io/workspacetypes", "", "mine")) is None
