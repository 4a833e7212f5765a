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
from tests.support.people import MASTER, person
from tests.support.tenancies import URL, ServedShard, accepted, claim

PROVIDER = "rprovider0000000"
CONSUMER = "rconsumer0000000"
FAR = "000consumer00000"


async def three_clusters(shard: ServedShard) -> None:
    await shard.cluster(PROVIDER, "root:provider")
    await shard.cluster(CONSUMER, "root:consumer")
    await shard.cluster(FAR, "root:far")


def endpoints(shard: ServedShard, name: str = "cowboys") -> list[str]:
    found = shard.get(PROVIDER, API_EXPORT_ENDPOINT_SLICES, name) or {}
    return [endpoint["url"] for endpoint in (found.get("status") or {}).get("endpoints") or ()]


def labels(obj: Object | None) -> dict[str, str]:
    return ((obj or {}).get("metadata") or {}).get("labels") or {}


async def test_identity_is_the_hash_of_a_secret() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        await shard.export(PROVIDER)
        export = shard.get(PROVIDER, API_EXPORTS, "cowboys")
        assert export is not None
        assert export["spec"]["identity"]["secretRef"] == {"namespace": "kcp-system", "name": "cowboys"}
        secret = shard.get(PROVIDER, SECRETS, "cowboys", "kcp-system")
        assert secret is not None
        key = base64.b64decode(secret["data"]["key"])
        assert len(key) == 43
        assert export["status"]["identityHash"] == hashlib.sha256(key).hexdigest()
        assert is_true(export["status"], "IdentityValid")
        assert "virtualWorkspaces" not in export["status"]


async def test_urls_on_the_export_behind_a_setting() -> None:
    async with ServedShard(publish_on_exports=True) as shard:
        await three_clusters(shard)
        await shard.export(PROVIDER)
        export = shard.get(PROVIDER, API_EXPORTS, "cowboys")
        assert export is not None
        assert [entry["url"] for entry in export["status"]["virtualWorkspaces"]] == [
            f"{URL}/ranges/{name}/services/apiexport/{PROVIDER}/cowboys" for name in ("range-2", "range-9", "root")
        ]


async def test_endpoints_follow_the_consumers() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        await shard.export(PROVIDER)
        created = await shard.until(lambda: shard.get(PROVIDER, API_EXPORT_ENDPOINT_SLICES, "cowboys"))
        assert created["metadata"]["ownerReferences"][0]["kind"] == "APIExport"
        await shard.until(lambda: (shard.get(PROVIDER, API_EXPORT_ENDPOINT_SLICES, "cowboys") or {}).get("status"))
        assert endpoints(shard) == []

        await shard.bind(CONSUMER, "root:provider", "cowboys")
        near = f"{URL}/ranges/root/services/apiexport/{PROVIDER}/cowboys"
        await shard.until(lambda: endpoints(shard) == [near])
        await shard.bind(FAR, "root:provider", "cowboys")
        far = f"{URL}/ranges/range-2/services/apiexport/{PROVIDER}/cowboys"
        await shard.until(lambda: endpoints(shard) == [far, near])
        assert published_urls(shard.tenancy.catalog, shard.tenancy.urls, PROVIDER, "cowboys") == [far, near]
        assert published_urls(shard.tenancy.catalog, shard.tenancy.urls, PROVIDER, "unknown") is None

        status, _ = await shard.call("DELETE", f"/clusters/{FAR}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys", MASTER)
        assert status == 200
        await shard.until(lambda: endpoints(shard) == [near])
        assert shard.get(FAR, API_BINDINGS, "cowboys") is None


async def test_binding_takes_locks_and_is_served() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        await shard.export(PROVIDER)
        binding = await shard.bind(CONSUMER, "root:provider", "cowboys")
        assert labels(binding)["internal.apis.kcp.io/export"] == export_hash(PROVIDER, "cowboys")
        assert binding["metadata"]["finalizers"] == ["apis.kcp.io/apibinding-finalizer"]
        assert binding["metadata"]["annotations"]["kcp.io/path"] == "root:consumer"
        assert is_true(binding["status"], "Ready")
        logical_cluster = shard.get(CONSUMER, LOGICAL_CLUSTERS, "cluster")
        assert logical_cluster is not None
        assert logical_cluster["metadata"]["annotations"]["internal.apis.kcp.io/resource-bindings"] == (
            '{"cowboys.wild.west":{"n":"cowboys"}}'
        )
        assert shard.tenancy.apis.definition(CONSUMER, "wild.west", "cowboys") is not None


async def test_second_binding_of_the_same_resource_conflicts() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        await shard.cluster("rprovider2000000", "root:provider2")
        await shard.export(PROVIDER)
        await shard.export("rprovider2000000")
        await shard.bind(CONSUMER, "root:provider", "cowboys")
        spec = {"reference": {"export": {"path": "root:provider2", "name": "cowboys"}}}
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "second"}, "spec": spec}
        await shard.call("POST", f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings", MASTER, body)

        def conflicting() -> Object | None:
            binding = shard.get(CONSUMER, API_BINDINGS, "second") or {}
            return find(binding.get("status") or {}, "BindingUpToDate")

        condition = await shard.until(conflicting)
        assert condition["reason"] == "NamingConflicts"
        assert 'already bound by APIBinding "cowboys"' in condition["message"]

        # What was in the way goes, and nobody touches the binding that waits.
        await shard.call("DELETE", f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys", MASTER)
        await shard.until(lambda: is_true((shard.get(CONSUMER, API_BINDINGS, "second") or {}).get("status") or {}, "Ready"))


async def test_a_binding_takes_the_names_of_a_definition_that_goes() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        await shard.export(PROVIDER)
        names = {"plural": "cowboys", "singular": "cowboy", "kind": "Cowboy", "listKind": "CowboyList"}
        definition: Object = {"metadata": {"name": "cowboys.wild.west"}, "spec": {"group": "wild.west", "names": names}}
        await shard.put(CONSUMER, "apiextensions.k8s.io", "customresourcedefinitions", definition)
        spec = {"reference": {"export": {"path": "root:provider", "name": "cowboys"}}}
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "waits"}, "spec": spec}
        await shard.call("POST", f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings", MASTER, body)
        await shard.until(lambda: find((shard.get(CONSUMER, API_BINDINGS, "waits") or {}).get("status") or {}, "BindingUpToDate"))
        assert not is_true((shard.get(CONSUMER, API_BINDINGS, "waits") or {})["status"], "Ready")
        record = shard.cell.range_of(CONSUMER).get(Key(CONSUMER, CUSTOM_RESOURCE_DEFINITIONS, "", "cowboys.wild.west"))
        assert record is not None
        await shard.cell.commit([shard.tenancy.changes.removed(record)])
        await shard.until(lambda: is_true((shard.get(CONSUMER, API_BINDINGS, "waits") or {}).get("status") or {}, "Ready"))


async def test_an_identity_that_is_kept_elsewhere_is_looked_at_when_it_comes() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        await shard.export(PROVIDER)

        def elsewhere(export: Object) -> None:
            export["spec"]["identity"] = {"secretRef": {"namespace": "vault", "name": "mine"}}

        await shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", elsewhere)

        def valid() -> bool:
            return is_true((shard.get(PROVIDER, API_EXPORTS, "cowboys") or {}).get("status") or {}, "IdentityValid")

        await shard.until(lambda: not valid())
        secret = dict(shard.get(PROVIDER, SECRETS, "cowboys", "kcp-system") or {})
        secret["metadata"] = {"name": "mine", "namespace": "vault"}
        await shard.put(PROVIDER, "", "secrets", secret)
        await shard.until(valid)


async def test_export_that_grows_reaches_its_bindings() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        await shard.export(PROVIDER)
        await shard.bind(FAR, "root:provider", "cowboys")
        await shard.export(PROVIDER, "ranches")
        export = shard.get(PROVIDER, API_EXPORTS, "cowboys")
        assert export is not None
        more = [{"name": "ranches", "group": "wild.west", "schema": "v1.ranches.wild.west", "storage": {"crd": {}}}]
        await shard.edit(PROVIDER, "apis.kcp.io", "apiexports", "cowboys", lambda e: e["spec"]["resources"].extend(more))

        def bound() -> bool:
            binding = shard.get(FAR, API_BINDINGS, "cowboys") or {}
            return [r["resource"] for r in binding["status"]["boundResources"]] == ["cowboys", "ranches"]

        await shard.until(bound)


async def test_unbinding_deletes_what_was_bound() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        await shard.export(PROVIDER)
        await shard.bind(CONSUMER, "root:provider", "cowboys")
        path = f"/clusters/{CONSUMER}/apis/wild.west/v1/namespaces/default/cowboys"
        await shard.namespace(CONSUMER, "default")
        for name in ("billy", "butch"):
            body = {"apiVersion": "wild.west/v1", "kind": "Cowboy", "metadata": {"name": name}}
            if name == "butch":
                body["metadata"]["finalizers"] = ["example.com/keep"]  # type: ignore[index]
            status, answer = await shard.call("POST", path, MASTER, body)
            assert status == 201, answer
        await shard.call("DELETE", f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings/cowboys", MASTER)

        def remaining() -> Object | None:
            binding = shard.get(CONSUMER, API_BINDINGS, "cowboys") or {}
            return find(binding.get("status") or {}, "BindingResourceDeleteSuccess")

        condition = await shard.until(remaining)
        assert condition["reason"] == "SomeFinalizersRemain"
        storage_key = f"wild.west/cowboys:{shard.identity(PROVIDER, 'cowboys')}"
        range_ = shard.cell.range_of(CONSUMER)
        assert [record.key.name for record in range_.list(storage_key, CONSUMER)] == ["butch"]
        assert range_.list(storage_key, CONSUMER)[0].head.deleting
        body = {"metadata": {"finalizers": None}}
        await shard.call("PATCH", f"{path}/butch", MASTER, body, content_type="application/merge-patch+json")
        controller = next(c for c in shard.controllers if c.name == "apibinding-deletion")
        controller.enqueue(Key(CONSUMER, API_BINDINGS, "", "cowboys"))
        await shard.until(lambda: shard.get(CONSUMER, API_BINDINGS, "cowboys") is None)
        logical_cluster = shard.get(CONSUMER, LOGICAL_CLUSTERS, "cluster")
        assert logical_cluster is not None
        assert logical_cluster["metadata"]["annotations"]["internal.apis.kcp.io/resource-bindings"] == "{}"


async def test_accepting_and_rejecting_a_claim_relabels() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        wanted = claim("", "configmaps", "get", "list")
        await shard.export(PROVIDER, claims=[wanted])
        await shard.namespace(CONSUMER, "default")
        await shard.put(CONSUMER, "", "configmaps", {"metadata": {"name": "one", "namespace": "default"}})
        await shard.bind(CONSUMER, "root:provider", "cowboys", claims=[accepted(wanted)])
        key, value = claim_label(PROVIDER, "cowboys"), claim_hash("", "configmaps")

        def label() -> str | None:
            return labels(shard.get(CONSUMER, CONFIG_MAPS, "one", "default")).get(key)

        await shard.until(lambda: label() == value)

        def applied() -> Object | None:
            status = (shard.get(CONSUMER, API_BINDINGS, "cowboys") or {}).get("status") or {}
            return status if is_true(status, "PermissionClaimsApplied") else None

        status = await shard.until(applied)
        assert status["appliedPermissionClaims"] == [{**wanted, "identityHash": "", "selector": {"matchAll": True}}]
        assert is_true(status, "PermissionClaimsValid")

        body = {"metadata": {"name": "two", "labels": {key: "forged", "claimed.internal.apis.kcp.io/x": "y"}}}
        code, answer = await shard.call("POST", f"/clusters/{CONSUMER}/api/v1/namespaces/default/configmaps", MASTER, body)
        assert code == 201, answer
        assert answer["metadata"]["labels"] == {key: value}

        def reject(binding: Object) -> None:
            binding["spec"]["permissionClaims"][0]["state"] = "Rejected"

        await shard.edit(CONSUMER, "apis.kcp.io", "apibindings", "cowboys", reject)
        await shard.until(lambda: label() is None and not labels(shard.get(CONSUMER, CONFIG_MAPS, "two", "default")))
        await shard.until(lambda: "appliedPermissionClaims" not in (shard.get(CONSUMER, API_BINDINGS, "cowboys") or {})["status"])


async def test_claim_selector_and_mismatch() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        wanted = claim("", "secrets", "get")
        await shard.export(PROVIDER, claims=[wanted])
        await shard.namespace(CONSUMER, "default")
        for name in ("seen", "unseen"):
            await shard.put(
                CONSUMER, "", "secrets", {"metadata": {"name": name, "namespace": "default", "labels": {"for": name}}}
            )
        taken = {**wanted, "verbs": ["get", "list"]}
        await shard.bind(CONSUMER, "root:provider", "cowboys", claims=[accepted(taken, matchLabels={"for": "seen"})])
        key = claim_label(PROVIDER, "cowboys")
        await shard.until(lambda: key in labels(shard.get(CONSUMER, SECRETS, "seen", "default")))
        assert key not in labels(shard.get(CONSUMER, SECRETS, "unseen", "default"))

        def valid() -> Object | None:
            return find((shard.get(CONSUMER, API_BINDINGS, "cowboys") or {}).get("status") or {}, "PermissionClaimsValid")

        condition = await shard.until(valid)
        assert condition["reason"] == "PermissionClaimsMismatch"


async def test_binding_needs_the_bind_verb() -> None:
    async with ServedShard() as shard:
        await three_clusters(shard)
        await shard.export(PROVIDER)
        await shard.bind_role(CONSUMER, "carol-admin", "cluster-admin", "carol")
        spec = {"reference": {"export": {"path": "root:provider", "name": "cowboys"}}}
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": "cowboys"}, "spec": spec}
        path = f"/clusters/{CONSUMER}/apis/apis.kcp.io/v1alpha2/apibindings"
        status, answer = await shard.call("POST", path, person("carol"), body)
        refused = "unable to create APIBinding: no permission to bind to export root:provider:cowboys"
        assert (status, answer["message"]) == (403, f'apibindings.apis.kcp.io "cowboys" is forbidden: {refused}')
        body["spec"] = {"reference": {"export": {"path": "root:provider", "name": "nothing"}}}
        status, answer = await shard.call("POST", path, person("carol"), body)
        assert status == 403
        assert answer["message"].endswith("no permission to bind to export root:provider:nothing")
        rule = {"apiGroups": ["apis.kcp.io"], "resources": ["apiexports"], "resourceNames": ["cowboys"], "verbs": ["bind"]}
        await shard.role(PROVIDER, "binder", rule)
        await shard.bind_role(PROVIDER, "binder", "binder", "carol")
        await shard.bind(CONSUMER, "root:provider", "cowboys", who=person("carol"))
