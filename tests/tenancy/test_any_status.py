"""Whatever stands in the status of an object that users write, no request and no controller fails at it.

Each type with a status is filled with what its schema allows and with what it does not, made by dice that are the same in every
run. What was stored is then read in every form, and the controllers do what it left them.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.kube.custom import definition_from_crd
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.schema.structural import Schema
from tenantry.kube.types import BUILTINS
from tenantry.tenancy.types import EXPORTED_TYPES, SYSTEM_DEFINITIONS
from tenantry.tenancy.types.cached_resource_names import BOTH
from tenantry_syncer.sync_target import SPEC as SYNC_TARGET
from tests.e2e import provider
from tests.e2e.fuzzing import made as made_of
from tests.e2e.fuzzing import seeds
from tests.growth.shapes import Place, object_with
from tests.support.clusters import definition as custom
from tests.support.logged import failures
from tests.support.one_process import Stack, running
from tests.support.requests_for_certificates import pod_request, signing_request
from tests.support.waiting import until

ROUNDS = 40
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_EXPORTED = tuple(each.define(identity="x", uid="x") for types in EXPORTED_TYPES.values() for each in types)
TYPES = {
    str(each.group_resource): each
    for each in (*BUILTINS, *SYSTEM_DEFINITIONS, *_EXPORTED, definition_from_crd({"spec": SYNC_TARGET}))
    if "status" in each.versions[each.storage_version].subresources and each.stored
}
_POLICY = {
    "matchConstraints": {
        "resourceRules": [{"apiGroups": ["x"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["things"]}]
    },
    "validations": [{"expression": "true"}],
}
JUNK: tuple[Any, ...] = (None, True, -1, 5, 1.5, 2**64 - 1, 1e300, "", "x", "True", [], [None], ["x", 5], {}, {"a": {"b": []}})
TEXTS = (
    *("", "x", "v1", "root:none", "/", "ü" * 300),
    *("True", "True", "False", "False", "Ready", "Bound", "Initializing", "Deleting"),
    *("Established", "NamesAccepted", "Terminating", "NamespaceFinalizersRemaining", "NamespaceContentRemaining"),
    *("APIExportValid", "InitialBindingCompleted", "WorkspaceContentDeleted", "WorkspaceInitialized", "IdentityValid"),
)
"""Among them what the platform itself writes, as a controller reads a condition by its type."""


def made(schema: Schema, dice: random.Random, depth: int = 0) -> Any:
    """A value of a schema. Some fields are left out, required ones too, and one in twelve values is of any type."""
    if dice.random() < 1 / 12 or depth > 6:
        return dice.choice(JUNK)
    if schema.enum and dice.random() < 0.8:
        return dice.choice(schema.enum)
    if schema.items is not None:
        return [made(schema.items, dice, depth + 1) for _ in range(dice.randrange(3))]
    if schema.type == "object":
        out = {name: made(child, dice, depth + 1) for name, child in schema.properties.items() if dice.random() < 0.7}
        if isinstance(schema.additional, Schema):
            out |= {dice.choice(TEXTS): made(schema.additional, dice, depth + 1) for _ in range(dice.randrange(3))}
        return out
    if schema.type in ("integer", "number"):
        return dice.choice((0, 1, -1, 3, 2**31, 2**63 - 1))
    if schema.type == "boolean":
        return dice.random() < 0.5
    if schema.format == "date-time" and dice.random() < 0.9:
        return dice.choice(("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.5+01:00", "0001-01-01T00:00:00Z"))
    return dice.choice(TEXTS)


def seed_of(definition: ResourceDefinition, cluster: str) -> Object:
    """A sound object of a type, in a cluster with the export `a`."""
    version = definition.storage_version
    kind, api_version = definition.kind, definition.api_version(version)
    own: dict[str, Object] = {
        "customresourcedefinitions": custom("things", "Thing"),
        "logicalclusters": made_of("core.kcp.io/v1alpha1", "LogicalCluster", "cluster"),
        "apibindings": provider.binding(cluster, "a"),
        "apiexportendpointslices": made_of(api_version, kind, spec={"export": {"path": cluster, "name": "a"}}),
        "validatingadmissionpolicies": made_of(api_version, kind, spec=_POLICY),
        "virtualworkspaces": made_of(api_version, kind, spec={"export": {"name": "a"}}),
        "synctargets": made_of(api_version, kind, spec={}),
        "certificatesigningrequests": signing_request("x"),
        "podcertificaterequests": made_of(api_version, kind, spec=pod_request()["spec"]),
        "storageversionmigrations": made_of(api_version, kind, spec={"resource": {"group": "", "resource": "configmaps"}}),
        "flowschemas": made_of(api_version, kind, spec={"priorityLevelConfiguration": {"name": "none"}}),
        "prioritylevelconfigurations": made_of(
            api_version, kind, spec={"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}
        ),
    }
    for names in BOTH:
        what = {"group": "rbac.authorization.k8s.io", "version": "v1", "resource": "clusterroles"}
        own[names.plural] = made_of(api_version, kind, spec=what)
        place = {names.field: {"name": "a"}, "export": {"name": "a"}}
        own[names.slice_plural] = made_of(api_version, kind, spec=place)
    if definition.plural in own:
        return own[definition.plural]
    for path, obj in seeds().items():
        if path.endswith(f"/{definition.plural}") and obj["apiVersion"] == api_version:
            return obj
    named = Place(("metadata", "name"), Schema(type="string"))
    return object_with(definition, version, named, "a", lambda i: f"x{i}")


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with running(tmp_path) as stack:
        yield stack


async def idle(stack: Stack) -> None:
    await until(lambda: all(shard.tenancy.runner.idle for shard in stack.shards.values()))


@pytest.mark.parametrize("name", sorted(TYPES))
async def test_no_status_is_too_odd(name: str, stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    definition, dice = TYPES[name], random.Random(name)
    version = definition.storage_version
    schema = definition.versions[version].schema
    # Shards are in root alone.
    cluster = "root" if definition.plural == "shards" else await stack.workspace("root", "odd")
    root = f"/clusters/{cluster}/apis/{definition.group}/{version}" if definition.group else f"/clusters/{cluster}/api/{version}"
    collection = f"{root}/namespaces/default/{definition.plural}" if definition.namespaced else f"{root}/{definition.plural}"
    schema_of_export = provider.schema()
    for plural, each in (("apiresourceschemas", schema_of_export), ("apiexports", provider.export("a", schema_of_export))):
        where = f"/clusters/{cluster}/apis/{each['apiVersion']}/{plural}"
        assert (await stack.call("POST", where, body=each))[0] == 201
    await idle(stack)
    obj = seed_of(definition, cluster)
    status, answer = await stack.call("POST", collection, body=obj)
    path = f"{collection}/{obj['metadata']['name']}"
    await idle(stack)
    status, answer = await stack.call("GET", path)
    assert status == 200, answer
    written = 0
    for _ in range(ROUNDS):
        sent = {"status": made(schema.properties["status"], dice)}
        if dice.random() < 0.3:
            sent["spec"] = made(schema.properties["spec"], dice) if "spec" in schema.properties else {}
        place = dice.choice((path, f"{path}/status", f"{path}/status"))
        media_type = dice.choice(("application/merge-patch+json", "application/apply-patch+yaml"))
        query = "fieldManager=dice&force=true" if "apply" in media_type else ""
        if query:
            sent |= {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": {"name": obj["metadata"]["name"]}}
        status, answer = await stack.call("PATCH", place, body=sent, query=query, content_type=media_type)
        # Upstream answers 500 to an apply of a wrong type, with a text that says so: by its schema, or by its Go types.
        told = ("typed patch object", "failed to convert new object")
        assert status < 500 or any(text in str(answer) for text in told), f"{sent} {answer}"
        written += status == 200
        await idle(stack)
        for where in (path, collection):
            for accept in ("application/json", TABLE):
                status, answer = await stack.call("GET", where, accept=accept)
                assert status == 200, (sent, answer)
        # The cluster is not harmed by it.
        status, answer = await stack.call("GET", f"/clusters/{cluster}/api/v1/namespaces/default/configmaps")
        assert status == 200 or definition.plural == "logicalclusters", (sent, answer)
    assert written, "nothing was stored"
    await stack.call("DELETE", path)
    await idle(stack)
    assert failures(caplog) == []


async def test_a_condition_without_a_type_is_decoded_and_stops_nothing(stack: Stack) -> None:
    cluster = await stack.workspace("root", "odd")
    crds = f"/clusters/{cluster}/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    assert (await stack.call("POST", crds, body=custom("things", "Thing")))[0] == 201
    await idle(stack)
    patch = [{"op": "add", "path": "/status/conditions/-", "value": {"message": "untyped"}}]
    path = f"{crds}/things.x.example/status"
    status, answer = await stack.call("PATCH", path, body=patch, content_type="application/json-patch+json")
    assert (status, answer["status"]["conditions"][-1]) == (
        200,
        {"type": "", "status": "", "lastTransitionTime": None, "message": "untyped"},
    )
    for served in ("apis/x.example/v1/namespaces/default/things", "api/v1/namespaces/default/configmaps"):
        assert (await stack.call("GET", f"/clusters/{cluster}/{served}"))[0] == 200


async def test_a_condition_without_a_time_does_not_keep_a_namespace(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    cluster = await stack.workspace("root", "odd")
    place = f"/clusters/{cluster}/api/v1/namespaces"
    body = made_of("v1", "Namespace", "gone")
    assert (await stack.call("POST", place, body=body))[0] == 201
    kinds = ("NamespaceContentRemaining", "NamespaceFinalizersRemaining", "NamespaceDeletionContentFailure")
    patch = {"status": {"conditions": [{"type": kind, "status": "False"} for kind in kinds]}}
    merge = "application/merge-patch+json"
    assert (await stack.call("PATCH", f"{place}/gone/status", body=patch, content_type=merge))[0] == 200
    held = made_of("v1", "ConfigMap", "held")
    held["metadata"]["finalizers"] = ["x.example/held"]
    assert (await stack.call("POST", f"{place}/gone/configmaps", body=held))[0] == 201
    assert (await stack.call("DELETE", f"{place}/gone"))[0] == 200
    await idle(stack)
    let_go = {"metadata": {"finalizers": None}}
    assert (await stack.call("PATCH", f"{place}/gone/configmaps/held", body=let_go, content_type=merge))[0] == 200
    await until(lambda: all(shard.tenancy.runner.idle for shard in stack.shards.values()))
    assert failures(caplog) == []
