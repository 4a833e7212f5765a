"""kcp's types as data: schemas that hold, conversions that lose nothing, hashes as kcp makes them."""

from __future__ import annotations

import hashlib

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.objects import Object
from tenantry.kube.schema.validate import validate
from tenantry.tenancy.types import EXPORTED_TYPES, SYSTEM_TYPES
from tenantry.tenancy.types.api_export import API_EXPORT
from tenantry.tenancy.types.api_resource_schema_validation import validate_api_resource_schema
from tenantry.tenancy.types.conversion import (
    ACCEPTABLE_CLAIMS,
    PERMISSION_CLAIMS,
    binding_down,
    binding_up,
    export_down,
    export_up,
)
from tenantry.tenancy.types.kcp_type import KcpType
from tenantry.tenancy.types.logical_cluster import LOGICAL_CLUSTER
from tenantry.tenancy.types.workspace import WORKSPACE
from tenantry.tenancy.types.workspace_type import WORKSPACE_TYPE
from tenantry.tenancy.workspaces.identifiers import (
    base36,
    default_binding_name,
    initializer_label,
    new_cluster_id,
)

ALL = (*SYSTEM_TYPES, *(t for types in EXPORTED_TYPES.values() for t in types))


@pytest.mark.parametrize("kcp_type", ALL, ids=lambda t: t.plural)
def test_every_type_is_a_valid_schema(kcp_type: KcpType) -> None:
    obj = {
        "apiVersion": "apis.kcp.io/v1alpha1",
        "kind": "APIResourceSchema",
        "metadata": {"name": kcp_type.schema_name},
        "spec": kcp_type.schema_spec(),
    }
    errors = [e for e in validate_api_resource_schema(obj) if "conversion" not in e.field]
    assert not errors


def errors_of(kcp_type: KcpType, obj: Object, old: Object | None = None) -> list[str]:
    schema = kcp_type.define().versions[kcp_type.versions[0].name].schema
    found = validate(obj, schema) if old is None else validate(obj, schema, old=old)
    return [f"{e.field}: {e.text}" for e in found]


def whole(kind: str, **parts: object) -> Object:
    return {"apiVersion": "x/v1alpha1", "kind": kind, "metadata": {"name": "cluster"}, **parts}


def test_a_logical_cluster_has_one_name() -> None:
    assert not errors_of(LOGICAL_CLUSTER, whole("LogicalCluster", spec={}))
    assert errors_of(LOGICAL_CLUSTER, whole("LogicalCluster", spec={}) | {"metadata": {"name": "other"}})


@pytest.mark.parametrize(("initializer", "valid"), [("root:universal", True), ("system:x", True), ("wrong", False)])
def test_initializers_name_a_type_or_the_system(initializer: str, valid: bool) -> None:
    assert valid is not bool(errors_of(LOGICAL_CLUSTER, whole("LogicalCluster", status={"initializers": [initializer]})))


@pytest.mark.parametrize("after", [{}, {"cluster": "b"}])
def test_the_cluster_of_a_workspace_stays(after: Object) -> None:
    old = whole("Workspace", spec={"cluster": "a"})
    assert errors_of(WORKSPACE, whole("Workspace", spec=after), old)
    assert not errors_of(WORKSPACE, whole("Workspace", spec={"cluster": "a"}), old)


@pytest.mark.parametrize(
    ("limit", "valid"), [({"none": True}, True), ({"none": False}, False), ({}, False), ({"types": []}, False)]
)
def test_limits_are_none_or_types(limit: Object, valid: bool) -> None:
    assert valid is not bool(errors_of(WORKSPACE_TYPE, whole("WorkspaceType", spec={"limitAllowedParents": limit})))


def test_an_export_storage_is_one_of_two() -> None:
    resource = {"name": "things", "group": "a.b", "schema": "v1.things.a.b", "storage": {}}
    assert errors_of(API_EXPORT, whole("APIExport", spec={"resources": [resource]}))
    assert not errors_of(API_EXPORT, whole("APIExport", spec={"resources": [resource | {"storage": {"crd": {}}}]}))


names = st.from_regex(r"[a-z]{2,8}", fullmatch=True)
resources = st.builds(
    lambda plural, group, prefix, virtual: {
        "name": plural,
        "group": group,
        "schema": f"{prefix}.{plural}.{group or 'core'}",
        "storage": {"virtual": {"identityHash": "h", "reference": {"kind": "K", "name": "n"}}} if virtual else {"crd": {}},
    },
    names,
    st.sampled_from(["", "example.org"]),
    names,
    st.booleans(),
)
selectors = st.sampled_from([{"matchAll": True}, {"matchLabels": {"a": "b"}}])
claims = st.builds(lambda r, g, v: {"resource": r, "group": g, "verbs": v}, names, st.sampled_from(["", "x.y"]), st.just(["get"]))


@given(
    st.lists(resources, max_size=4, unique_by=lambda r: r["schema"]),
    st.lists(claims, max_size=3, unique_by=lambda c: c["resource"]),
)
@settings(max_examples=60, deadline=None)
def test_exports_go_down_and_up_again_unchanged(entries: list[Object], asked: list[Object]) -> None:
    spec = ({"resources": entries} if entries else {}) | ({"permissionClaims": asked} if asked else {})
    export = {"metadata": {"name": "x"}, "spec": spec}
    raw = orjson.dumps(export)
    back = export_up(export_down(orjson.loads(raw)))
    key = lambda r: r["schema"]  # noqa: E731
    assert sorted(back["spec"].get("resources", []), key=key) == sorted(entries, key=key)
    assert back["spec"].get("permissionClaims", []) == asked
    assert back["metadata"] == export["metadata"]


@given(st.lists(st.tuples(claims, selectors), max_size=3, unique_by=lambda c: c[0]["resource"]))
@settings(max_examples=60, deadline=None)
def test_bindings_go_down_and_up_again_unchanged(accepted: list[tuple[Object, Object]]) -> None:
    wanted = [claim | {"selector": selector, "state": "Accepted"} for claim, selector in accepted]
    applied = [claim | {"selector": selector} for claim, selector in accepted]
    binding = {
        "metadata": {"name": "x"},
        "spec": {"permissionClaims": wanted},
        "status": {"appliedPermissionClaims": applied, "exportPermissionClaims": [c for c, _ in accepted]},
    }
    raw = orjson.dumps(binding)
    down = binding_down(orjson.loads(raw))
    assert all("verbs" not in c and c["all"] for c in down["spec"]["permissionClaims"])
    assert binding_up(down) == binding


def test_an_old_export_comes_up_as_kcp_brings_it() -> None:
    old = {
        "metadata": {"name": "x"},
        "spec": {
            "latestResourceSchemas": ["v1.widgets.example.org", "v1.services.core"],
            "permissionClaims": [{"resource": "configmaps", "resourceSelector": [{"name": "a"}]}],
        },
    }
    new = export_up(orjson.loads(orjson.dumps(old)))
    assert new["spec"]["resources"] == [
        {"name": "widgets", "group": "example.org", "schema": "v1.widgets.example.org", "storage": {"crd": {}}},
        {"name": "services", "group": "", "schema": "v1.services.core", "storage": {"crd": {}}},
    ]
    assert new["spec"]["permissionClaims"] == [{"resource": "configmaps", "verbs": ["*"]}]
    again = export_down(new)
    assert again["spec"]["permissionClaims"] == old["spec"]["permissionClaims"]  # type: ignore[index]


def test_what_an_annotation_keeps_does_not_nest_deeper_than_a_body() -> None:
    deep = "[" * 1000 + "]" * 1000
    for annotation, up in ((PERMISSION_CLAIMS, export_up), (ACCEPTABLE_CLAIMS, binding_up)):
        text = f'[{{"group":{deep}}}]'
        assert up({"metadata": {"name": "x", "annotations": {annotation: text}}, "spec": {}})["metadata"] == {"name": "x"}


def test_known_hashes() -> None:
    assert base36(hashlib.sha224(b"hello").digest()) == "2yfg0ibsewngbzapgs5fesiord507vsncfiw4jd5c2oj"
    assert base36(bytes.fromhex("00c650b1ad5a99c3"), pad=True) == "0f9mt7goyif7"
    assert initializer_label("root:universal") == (
        "initializer.internal.kcp.io/d1d6459a03641b6fd7560fc2849f6c66fa9",
        "d1d6459a03641b6fd7560fc2849f6c66fa971a0afeded6ba2d2743f2",
    )
    assert len(default_binding_name("c", "root", "x" * 300)) == 253


@given(st.sampled_from(["r", "000", "zz9", "0123456789ab"]))
@settings(max_examples=20, deadline=None)
def test_new_ids_lie_in_their_range(start: str) -> None:
    drawn = new_cluster_id(start)
    assert drawn.startswith(start)
    assert len(drawn) >= 16
    assert drawn != new_cluster_id(start)
