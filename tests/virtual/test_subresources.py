"""A view has the subresources that it names, of the objects that it shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.scope import Call, Connector, Scope
from tenantry.apiserver.user import User
from tenantry.http.messages import Reply, Response
from tenantry.kube.definition import STANDARD_VERBS, ResourceDefinition
from tenantry.storage.record import Record
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.exports.claimable import CLAIMABLE
from tenantry.virtual.restricted_definitions import STATUS, restricted
from tenantry.virtual.view import Place, View
from tenantry.virtual.view_scope import ViewScope
from tests.support.people import MASTER, person
from tests.support.tenancies import SCHEMA_VERSION, ServedShard, accepted, claim
from tests.virtual.apiexport.ranch import NEAR, SHERIFF, base, cowboys, ranch

HOME = "rhome00000000000"
SOMEBODY = person("somebody")
TOKEN: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}


class Accounts(View):
    """All that can be done to ServiceAccounts with the label `shown`; it says nothing about subresources."""

    name = "accounts"
    verbs: tuple[str, ...] = STANDARD_VERBS

    def allows(self, place: Place, question: Attributes) -> bool:
        return True

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return [self.definition("", plural) for plural in ("serviceaccounts", "namespaces")]

    def sees(self, place: Place, user: User, record: Record) -> bool:
        return "shown" in record.head.labels


class Tokens(Accounts):
    name = "tokens"
    subresources = ("status", "token")


class Careless(Accounts):
    """Passes on whatever connectors the cluster has, as a scope of its own easily does."""

    name = "careless"

    def scope(self, place: Place, base: ClusterScope, path: str) -> Scope:
        return CarelessScope(self, place, base)


class CarelessScope(ViewScope):
    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        return self.base.connector(definition, subresource)


class Reader(Accounts):
    name = "reader"
    verbs = ("get", "list", "watch")
    subresources = ("status", "token", "finalize")


async def issue(call: Call) -> Reply:
    return Response(201, orjson.dumps({"token": call.name}))


async def world_of(*views: type[View]) -> ServedShard:
    shard = ServedShard(*views)
    await shard.__aenter__()
    shard.connectors.update({("", "serviceaccounts", "token"): issue})
    await shard.cluster(HOME)
    await shard.namespace(HOME, "default")
    for name, labels in (("seen", {"shown": ""}), ("unseen", {})):
        await shard.put(HOME, "", "serviceaccounts", {"metadata": {"name": name, "namespace": "default", "labels": labels}})
    return shard


def account(view: str, name: str) -> str:
    return f"/services/{view}/clusters/{HOME}/api/v1/namespaces/default/serviceaccounts/{name}"


@pytest.mark.parametrize(
    ("view", "name", "expected"),
    [
        ("accounts", "seen", 404),
        ("careless", "seen", 404),
        ("reader", "seen", 404),
        ("tokens", "seen", 201),
        ("tokens", "unseen", 404),
        ("tokens", "missing", 404),
    ],
)
async def test_a_connector_is_there_where_it_is_named_and_its_object_seen(view: str, name: str, expected: int) -> None:
    shard = await world_of(Accounts, Tokens, Careless, Reader)
    try:
        status, answer = await shard.call("POST", f"{account(view, name)}/token", SOMEBODY, TOKEN)
        assert status == expected, answer
        _, found = await shard.call("GET", f"/services/{view}/clusters/{HOME}/api/v1", SOMEBODY)
        names = {entry["name"] for entry in found["resources"]}
        assert ("serviceaccounts/token" in names) == (view == "tokens")
        assert "namespaces/finalize" not in names
        assert ("namespaces/status" in names) == (view != "reader")
    finally:
        await shard.__aexit__()


async def test_subresources_have_the_verbs_of_the_view() -> None:
    class Putting(Accounts):
        name = "putting"
        verbs = ("get", "list", "update")

    async with ServedShard(Putting) as shard:
        await shard.cluster(HOME)
        await shard.put(
            HOME, "", "namespaces", {"metadata": {"name": "n", "labels": {"shown": ""}}, "status": {"phase": "Active"}}
        )
        path = f"/services/putting/clusters/{HOME}/api/v1/namespaces/n/status"
        status, found = await shard.call("GET", path, SOMEBODY)
        assert status == 200
        assert (await shard.call("PUT", path, SOMEBODY, found))[0] == 200
        merge = "application/merge-patch+json"
        assert (await shard.call("PATCH", path, SOMEBODY, {}, content_type=merge))[0] == 405


async def test_no_type_has_another_subresource_in_a_view_that_names_none() -> None:
    """For every type that there is, with a subresource that nobody thought of."""
    async with ServedShard() as shard:
        await shard.cluster(HOME)
        for definition in shard.tenancy.apis.for_cluster(HOME):
            versions = {
                name: replace(version, subresources=version.subresources | {"status", "scale", "token", "novel"}, memo={})
                for name, version in definition.versions.items()
            }
            shown = restricted(replace(definition, versions=versions), STANDARD_VERBS, STATUS)
            for version in shown.versions.values():
                assert version.subresources == frozenset({"status"})
                assert version.scale is None


async def test_subresources_of_the_view_of_an_export() -> None:
    """Status of everything that has one, scale of the export's own types, and nothing else of anything that can be claimed."""
    claims = [claim(group, resource) for group, resource in sorted(CLAIMABLE)]
    async with ServedShard() as shard:
        await ranch(shard, claims=claims)
        found: set[str] = set()
        _, groups = await shard.call("GET", f"{base(NEAR)}/apis", SHERIFF)
        versions = [version["groupVersion"] for group in groups["groups"] for version in group["versions"]]
        for path in ("/api/v1", *(f"/apis/{version}" for version in versions)):
            _, document = await shard.call("GET", base(NEAR) + path, SHERIFF)
            found |= {entry["name"] for entry in document["resources"] if "/" in entry["name"]}
        assert {name.partition("/")[2] for name in found} == {"status"}
        assert {"namespaces/status", "logicalclusters/status", "cowboys/status"} <= found


async def test_what_is_not_shown_has_no_subresource() -> None:
    """The objects that a consumer did not share, and the verbs that it did not give."""
    wanted = claim("", "resourcequotas", "get", "update")
    async with ServedShard() as shard:
        await ranch(shard, claims=[wanted], accept=[accepted(wanted, matchLabels={"for": "sheriff"})])
        for name, labels in (("private", {}), ("shared", {"for": "sheriff"})):
            body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name, "labels": labels}}
            inside = f"/clusters/{NEAR}/api/v1/namespaces/default/resourcequotas"
            status, answer = await shard.call("POST", inside, MASTER, body)
            assert status == 201, answer
        path = f"{base(NEAR)}/api/v1/namespaces/default/resourcequotas"
        for name, expected in (("private", 404), ("shared", 200)):
            status, found = await shard.call("GET", f"{path}/{name}/status", SHERIFF)
            assert status == expected
            if expected == 200:
                assert (await shard.call("PUT", f"{path}/{name}/status", SHERIFF, found))[0] == 200
            merge = "application/merge-patch+json"
            assert (await shard.call("PATCH", f"{path}/{name}/status", SHERIFF, {}, content_type=merge))[0] == 403, "not claimed"


async def test_scale_of_the_export_s_own_types(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}
    monkeypatch.setitem(SCHEMA_VERSION, "subresources", {"status": {}, "scale": paths})
    merge = "application/merge-patch+json"
    async with ServedShard() as shard:
        await ranch(shard)
        joe = cowboys(NEAR, obj=f"of-{NEAR}")
        assert (await shard.call("PATCH", joe, SHERIFF, {"spec": {"size": 1}}, content_type=merge))[0] == 200
        for who, expected in ((SHERIFF, 200), (SOMEBODY, 403)):
            body = {"spec": {"replicas": 3}}
            status, answer = await shard.call("PATCH", f"{joe}/scale", who, body, content_type=merge)
            assert (status, answer.get("spec")) == (expected, {"replicas": 3} if expected == 200 else None)
        assert (await shard.call("GET", joe, SHERIFF))[1]["spec"] == {"size": 3}
