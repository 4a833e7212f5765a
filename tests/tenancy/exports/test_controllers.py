"""The controllers of exports and bindings, over a store in memory."""

from __future__ import annotations

import base64
import hashlib

from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.tenancy.exports.conditions import find, is_true
from tenantry.tenancy.exports.export_urls import published_urls
from tenantry.tenancy.exports.hashing import claim_hash, claim_label, export_hash
from tenantry.tenancy.resources import (
    API_BINDINGS,
    API_EXPORT_ENDPOINT_SLICES,
    API_EXPORTS,
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    LOGICAL_CLUSTERS,
    SECRETS,
)
from tests.tenancy.exports_world import MASTER, URL, World, accepted, claim, user

PROVIDER = "rprovider0000000"
CONSUMER = "rconsumer0000000"
FAR = "000consumer00000"


async def settle(world: World) -> None:
    await world.cluster(PROVIDER, "root:provider")
    await world.cluster(CONSUMER, "root:consumer")
    await world.cluster(FAR, "root:far")


def endpoints(world: World, name: str = "cowboys") -> list[str]:
    found = world.get(PROVIDER, API_EXPORT_ENDPOINT_SLICES, name) or {}
    return [endpoint["url"] for endpoint in (found.get("status") or {}).get("endpoints") or ()]


def labels(obj: Object | None) -> dict[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}


async def test_identity_is_the_hash_of_a_secret() -> None:
    async with World() as world:
        await settle(world)
        await world.export(PROVIDER)
        export = world.get(PROVIDER, API_EXPORTS, "cowboys")
        assert export is not None
        assert export["spec"]["identity"]["secretRef"] == {"namespace": "kcp-system", "name": "cowboys"}
        secret = world.get(PROVIDER, SECRETS, "cowboys", "kcp-system")
        assert secret is not None
        key = base64.b64decode(secret["data"]["key"])
        assert len(key) == 43
        assert export["status"]["identityHash"] == hashlib.sha256(key).hexdigest()
        assert is_true(export["status"], "IdentityValid")
        assert "virtualWorkspaces" not in export["status"]


async def test_urls_on_the_export_behind_a_setting() -> None:
    async with World(publish_on_exports=True) as world:
        await settle(world)
        await world.export(PROVIDER)
        export = world.get(PROVIDER, API_EXPORTS, "cowboys")
        assert export is not None
        assert [entry["url"] for entry in export["status"]["virtualWorkspaces"]] == [
            f"{URL}/ranges/{name}/services/apiexport/{PROVIDER}/cowboys" for name in ("range-2", "range-9", "root")
        ]


async def test_endpoints_follow_the_consumers() -> None:
    async with World() as world:
        await settle(world)
        await world.export(PROVIDER)
        created = await world.until(lambda: world.get(PROVIDER, API_EXPORT_ENDPOINT_SLICES, "cowboys"))
        assert created["metadata"]["ownerReferences"][0]["kind"] == "APIExport"
        await world.until(lambda: (world.get(PROVIDER, API_EXPORT_ENDPOINT_SLICES, "cowboys") or {}).get("status"))
        assert endpoints(world) == []

        await world.bind(CONSUMER, "root:provider", "cowboys")
        near = f"{URL}/ranges/root/services/apiexport/{PROVIDER}/cowboys"
        await world.until(lambda: endpoints(world) == [near])
        await world.bind(FAR, "root:provider", "cowboys")
        far = f"{URL}/ranges/range-2/services/apiexport/{PROVIDER}/cowboys"
        await world.until(lambda: endpoints(world) == [far, near])
        assert published_urls(world.tenancy.catalog, world.tenancy.urls, PROVIDER, "cowboys") == [far, near]
        assert published_urls(world.tenancy.catalog, world.tenancy.urls, PROVIDER, "unknown") is None

        status, _ = await world.call("DELETE", f"/clusters/{FAR}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys", MASTER)
        assert status == 200
        await world.until(lambda: endpoints(world) == [near])
        assert world.get(FAR, API_BINDINGS, "cowboys") is None


async def test_binding_takes_locks_and_is_served() -> None:
    async with World() as world:
        await settle(world)
        await world.export(PROVIDER)
        binding = await world.bind(CONSUMER, "root:provider", "cowboys")
        assert labels(binding)["internal.apis.kcp.io/export"] == export_hash(PROVIDER, "cowboys")
        assert binding["metadata"]["finalizers"] == ["apis.kcp.io/apibinding-finalizer"]
        assert binding["metadata"]["annotations"]["kcp.io/path"] == "root:consumer"
        assert is_true(binding["status"], "Ready")
        logical_cluster = world.get(CONSUMER, LOGICAL_CLUSTERS, "cluster")
        assert logical_cluster is not None
        assert logical_cluster["metadata"]["annotations"]["internal.apis.kcp.io/resource-bindings"] == (
            '{"cowboys.wild.west":{"n":"cowboys"}}'
        )
        assert world.tenancy.apis.definition(CONSUMER, "wild.west", "cowboys") is not None


async def test_second_binding_of_the_same_resource_conflicts() -> None:
    async with World() as world:
        await settle(world)
        await world.cluster("rprovider2000000", "root:provider2")
        await world.export(PROVIDER)
        await world.export("rprovider2000000")
        await world.bind(CONSUMER, "root:provider", "cowboys")
        spec = {"reference": {"export": {"path": "root:provider2", "name": "cowboys"}}}
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "second"}, "spec": spec}
        await world.call("POST", f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings", MASTER, body)

        def conflicting() -> Object | None:
            binding = world.get(CONSUMER, API_BINDINGS, "second") or {}
            return find(binding.get("status") or {}, "BindingUpToDate")

        condition = await world.until(conflicting)
        assert condition["reason"] == "NamingConflicts"
        assert 'already bound by APIBinding "cowboys"' in condition["message"]

        # What was in the way goes, and nobody touches the binding that waits.
        await world.call("DELETE", f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys", MASTER)
        await world.until(lambda: is_true((world.get(CONSUMER, API_BINDINGS, "second") or {}).get("status") or {}, "Ready"))


async def test_a_binding_takes_the_names_of_a_definition_that_goes() -> None:
    async with World() as world:
        await settle(world)
        await world.export(PROVIDER)
        names = {"plural": "cowboys", "singular": "cowboy", "kind": "Cowboy", "listKind": "CowboyList"}
        definition: Object = {"metadata": {"name": "cowboys.wild.west"}, "spec": {"group": "wild.west", "names": names}}
        await world.put(CONSUMER, "apiextensions.k8s.io", "customresourcedefinitions", definition)
        spec = {"reference": {"export": {"path": "root:provider", "name": "cowboys"}}}
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "waits"}, "spec": spec}
        await world.call("POST", f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings", MASTER, body)
        await world.until(lambda: find((world.get(CONSUMER, API_BINDINGS, "waits") or {}).get("status") or {}, "BindingUpToDate"))
        assert not is_true((world.get(CONSUMER, API_BINDINGS, "waits") or {})["status"], "Ready")
        record = world.cell.range_of(CONSUMER).get(Key(CONSUMER, CUSTOM_RESOURCE_DEFINITIONS, "", "cowboys.wild.west"))
        assert record is not None
        await world.cell.commit([world.tenancy.changes.removed(record)])
        await world.until(lambda: is_true((world.get(CONSUMER, API_BINDINGS, "waits") or {}).get("status") or {}, "Ready"))


async def test_an_identity_that_is_kept_elsewhere_is_looked_at_when_it_comes() -> None:
    async with World() as world:
        await settle(world)
        await world.export(PROVIDER)

        def elsewhere(export: Object) -> None:
            export["spec"]["identity"] = {"secretRef": {"namespace": "vault", "name": "mine"}}

        await world.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", elsewhere)

        def valid() -> bool:
            return is_true((world.get(PROVIDER, API_EXPORTS, "cowboys") or {}).get("status") or {}, "IdentityValid")

        await world.until(lambda: not valid())
        secret = dict(world.get(PROVIDER, SECRETS, "cowboys", "kcp-system") or {})
        secret["metadata"] = {"name": "mine", "namespace": "vault"}
        await world.put(PROVIDER, "", "secrets", secret)
        await world.until(valid)


async def test_export_that_grows_reaches_its_bindings() -> None:
    async with World() as world:
        await settle(world)
        await world.export(PROVIDER)
        await world.bind(FAR, "root:provider", "cowboys")
        await world.export(PROVIDER, "ranches")
        export = world.get(PROVIDER, API_EXPORTS, "cowboys")
        assert export is not None
        more = [{"name": "ranches", "group": "wild.west", "schema": "v1.ranches.wild.west", "storage": {"crd": {}}}]
        await world.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", lambda e: e["spec"]["resources"].extend(more))

        def bound() -> bool:
            binding = world.get(FAR, API_BINDINGS, "cowboys") or {}
            return [r["resource"] for r in binding["status"]["boundResources"]] == ["cowboys", "ranches"]

        await world.until(bound)


async def test_unbinding_deletes_what_was_bound() -> None:
    async with World() as world:
        await settle(world)
        await world.export(PROVIDER)
        await world.bind(CONSUMER, "root:provider", "cowboys")
        path = f"/clusters/{CONSUMER}/apis/wild.west/v1/namespaces/default/cowboys"
        await world.namespace(CONSUMER, "default")
        for name in ("billy", "butch"):
            body = {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": name}}
            if name == "butch":
                body["metadata"]["finalizers"] = ["example.com/keep"]  # type: ignore[index]
            status, answer = await world.call("POST", path, MASTER, body)
            assert status == 201, answer
        await world.call("DELETE", f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys", MASTER)

        def remaining() -> Object | None:
            binding = world.get(CONSUMER, API_BINDINGS, "cowboys") or {}
            return find(binding.get("status") or {}, "BindingResourceDeleteSuccess")

        condition = await world.until(remaining)
        assert condition["reason"] == "SomeFinalizersRemain"
        storage_key = f"wild.west/cowboys:{world.identity(PROVIDER, 'cowboys')}"
        range_ = world.cell.range_of(CONSUMER)
        assert [record.key.name for record in range_.list(storage_key, CONSUMER)] == ["butch"]
        assert range_.list(storage_key, CONSUMER)[0].head.deleting
        body = {"metadata": {"finalizers": None}}
        await world.call("PATCH", f"{path}/butch", MASTER, body, content_type="application/merge-patch+json")
        controller = next(c for c in world.controllers if c.name == "apibinding-deletion")
        controller.enqueue(Key(CONSUMER, API_BINDINGS, "", "cowboys"))
        await world.until(lambda: world.get(CONSUMER, API_BINDINGS, "cowboys") is None)
        logical_cluster = world.get(CONSUMER, LOGICAL_CLUSTERS, "cluster")
        assert logical_cluster is not None
        assert logical_cluster["metadata"]["annotations"]["internal.apis.kcp.io/resource-bindings"] == "{}"


async def test_accepting_and_rejecting_a_claim_relabels() -> None:
    async with World() as world:
        await settle(world)
        wanted = claim("", "configmaps", "get", "list")
        await world.export(PROVIDER, claims=[wanted])
        await world.namespace(CONSUMER, "default")
        await world.put(CONSUMER, "", "configmaps", {"metadata": {"name": "one", "namespace": "default"}})
        await world.bind(CONSUMER, "root:provider", "cowboys", claims=[accepted(wanted)])
        key, value = claim_label(PROVIDER, "cowboys"), claim_hash("", "configmaps")

        def label() -> str | None:
            return labels(world.get(CONSUMER, CONFIG_MAPS, "one", "default")).get(key)

        await world.until(lambda: label() == value)

        def applied() -> Object | None:
            status = (world.get(CONSUMER, API_BINDINGS, "cowboys") or {}).get("status") or {}
            return status if is_true(status, "PermissionClaimsApplied") else None

        status = await world.until(applied)
        assert status["appliedPermissionClaims"] == [{**wanted, "identityHash": "", "selector": {"matchAll": True}}]
        assert is_true(status, "PermissionClaimsValid")

        body = {"metadata": {"name": "two", "labels": {key: "forged", "claimed.internal.apis.kcp.io/x": "y"}}}
        code, answer = await world.call("POST", f"/clusters/{CONSUMER}/api/v1/namespaces/default/configmaps", MASTER, body)
        assert code == 201, answer
        assert answer["metadata"]["labels"] == {key: value}

        def reject(binding: Object) -> None:
            binding["spec"]["permissionClaims"][0]["state"] = "Rejected"

        await world.edit(CONSUMER, "apis.kcp.io", "apibindings", "cowboys", reject)
        await world.until(lambda: label() is None and not labels(world.get(CONSUMER, CONFIG_MAPS, "two", "default")))
        await world.until(lambda: "appliedPermissionClaims" not in (world.get(CONSUMER, API_BINDINGS, "cowboys") or {})["status"])


async def test_claim_selector_and_mismatch() -> None:
    async with World() as world:
        await settle(world)
        wanted = claim("", "secrets", "get")
        await world.export(PROVIDER, claims=[wanted])
        await world.namespace(CONSUMER, "default")
        for name in ("seen", "unseen"):
            await world.put(
                CONSUMER, "", "secrets", {"metadata": {"name": name, "namespace": "default", "labels": {"for": name}}}
            )
        taken = {**wanted, "verbs": ["get", "list"]}
        await world.bind(CONSUMER, "root:provider", "cowboys", claims=[accepted(taken, matchLabels={"for": "seen"})])
        key = claim_label(PROVIDER, "cowboys")
        await world.until(lambda: key in labels(world.get(CONSUMER, SECRETS, "seen", "default")))
        assert key not in labels(world.get(CONSUMER, SECRETS, "unseen", "default"))

        def valid() -> Object | None:
            return find((world.get(CONSUMER, API_BINDINGS, "cowboys") or {}).get("status") or {}, "PermissionClaimsValid")

        condition = await world.until(valid)
        assert condition["reason"] == "PermissionClaimsMismatch"


async def test_binding_needs_the_bind_verb() -> None:
    async with World() as world:
        await settle(world)
        await world.export(PROVIDER)
        await world.bind_role(CONSUMER, "carol-admin", "cluster-admin", "carol")
        spec = {"reference": {"export": {"path": "root:provider", "name": "cowboys"}}}
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "cowboys"}, "spec": spec}
        path = f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings"
        status, answer = await world.call("POST", path, user("carol"), body)
        refused = "unable to create APIBinding: no permission to bind to export root:provider:cowboys"
        assert (status, answer["message"]) == (403, f'apibindings.apis.kcp.io "cowboys" is forbidden: {refused}')
        body["spec"] = {"reference": {"export": {"path": "root:provider", "name": "nothing"}}}
        status, answer = await world.call("POST", path, user("carol"), body)
        assert status == 403
        assert answer["message"].endswith("no permission to bind to export root:provider:nothing")
        rule = {"apiGroups": ["apis.kcp.io"], "resources": ["apiexports"], "resourceNames": ["cowboys"], "verbs": ["bind"]}
        await world.role(PROVIDER, "binder", rule)
        await world.bind_role(PROVIDER, "binder", "binder", "carol")
        await world.bind(CONSUMER, "root:provider", "cowboys", who=user("carol"))
