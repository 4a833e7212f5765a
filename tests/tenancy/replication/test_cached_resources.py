"""ClusterCachedResources: admission, the controller, and the copies of their objects."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.tenancy.replication import publications
from tenantry.tenancy.replication.publications import REPLICATED
from tenantry.tenancy.resources import SECRETS
from tests.support.people import MASTER, person
from tests.support.tenancies import ServedShard
from tests.tenancy.replication.county import (
    ACCESS,
    CACHE,
    GROUP,
    PROVIDER,
    READ,
    SHERIFFS,
    County,
    cached_resource,
    county,
    crd,
)

CACHED = f"{CACHE}/clustercachedresources"


async def refused(made: County, body: Object, path: str = CACHED) -> tuple[int, str]:
    status, answer = await made.here.call("POST", f"/clusters/{PROVIDER}{path}", MASTER, body)
    return status, answer["message"]


def copies(made: County) -> set[str]:
    """The names of the copies, as the other shard has them."""
    catalog = made.there.tenancy.catalog
    return {name for group, names in catalog.names(REPLICATED) for name in names}


async def copied(made: County, *names: str) -> None:
    async def same() -> bool:
        return copies(made) == set(names)

    await made.after(same)


async def test_a_cached_resource_becomes_ready() -> None:
    async with county() as made:
        for name in ("doc", "wyatt"):
            await made.sheriff(name)
        await made.replicate()
        await made.here.until(lambda: made.counts() == (2, 2))
        obj = made.cached()
        assert obj["metadata"]["finalizers"] == ["cache.kcp.io/clustercachedresource"]
        annotations = obj["metadata"]["annotations"]
        assert annotations["cache.kcp.io/resource-kind"] == "Sheriff"
        assert annotations["cache.kcp.io/resource-scope"] == "Cluster"
        assert annotations["kcp.io/path"] == "root:provider"
        assert obj["spec"]["identity"]["secretRef"] == {"namespace": "kcp-system", "name": "sheriffs"}
        secret = made.here.get(PROVIDER, SECRETS, "sheriffs", "kcp-system")
        assert secret is not None and set(secret["data"]) == {"key"}
        assert made.conditions() == {
            "IdentityValid": ("True", ""),
            "ReplicationStarted": ("True", ""),
            "ResourceValid": ("True", ""),
        }
        await copied(made, "doc", "wyatt")
        await made.sheriff("bat")
        await copied(made, "doc", "wyatt", "bat")
        await made.here.until(lambda: made.counts() == (3, 3))
        await made.delete(f"{SHERIFFS}/doc")
        await copied(made, "wyatt", "bat")


async def test_the_older_names_work_alike() -> None:
    async with county() as made:
        await made.sheriff("doc")
        body = {**cached_resource(), "kind": "CachedResource"}
        await made.post(f"{CACHE}/cachedresources", body)
        resource = "cache.kcp.io/cachedresources"

        def phase() -> str:
            return ((made.here.get(PROVIDER, resource, "sheriffs") or {}).get("status") or {}).get("phase") or ""

        await made.here.until(lambda: phase() == "Ready")
        obj = made.here.get(PROVIDER, resource, "sheriffs")
        assert obj is not None and obj["metadata"]["finalizers"] == ["cache.kcp.io/cachedresource"]
        await copied(made, "doc")
        assert (await refused(made, cached_resource("other")))[0] == 403
        await made.delete(f"{CACHE}/cachedresources/sheriffs")
        await made.here.until(lambda: made.here.get(PROVIDER, resource, "sheriffs") is None)
        assert copies(made) == set()


async def test_only_the_controller_says_that_all_are_replicated() -> None:
    async with county() as made:
        annotation = "internal.cache.kcp.io/replicated"
        forged = cached_resource("others", resource="others")
        forged["metadata"]["annotations"] = {annotation: "x"}
        await made.post(CACHED, forged)
        assert annotation not in made.cached("others")["metadata"]["annotations"]
        await made.replicate()
        said = made.cached()["metadata"]["annotations"][annotation]
        for annotations in (None, {annotation: "x"}):
            await made.merge(f"{CACHED}/sheriffs", {"metadata": {"annotations": annotations}})
            assert made.cached()["metadata"]["annotations"][annotation] == said


async def test_a_selector_adds_and_evicts() -> None:
    async with county() as made:
        await made.sheriff("doc", {"team": "a"})
        await made.sheriff("wyatt", {"team": "b"})
        await made.replicate(labelSelector={"matchLabels": {"team": "a"}})
        await copied(made, "doc")
        await made.here.until(lambda: made.counts() == (1, 1))
        await made.merge(f"{SHERIFFS}/wyatt", {"metadata": {"labels": {"team": "a"}}})
        await copied(made, "doc", "wyatt")
        await made.merge(f"{SHERIFFS}/doc", {"metadata": {"labels": {"team": None}}})
        await copied(made, "wyatt")
        await made.merge(f"{CACHED}/sheriffs", {"spec": {"labelSelector": {"matchLabels": {"team": "b"}}}})
        await copied(made)
        await made.merge(f"{CACHED}/sheriffs", {"spec": {"labelSelector": None}})
        await copied(made, "doc", "wyatt")
        await made.here.until(lambda: made.counts() == (2, 2))


async def test_refusals() -> None:
    async with county() as made:
        await made.here.put(PROVIDER, "apiextensions.k8s.io", "customresourcedefinitions", crd("deputies", "Namespaced"))
        await made.replicate()
        prefix = 'clustercachedresources.cache.kcp.io "x" is forbidden: spec'
        assert await refused(made, cached_resource("x")) == (
            403,
            f'{prefix}: Invalid value: "wild.dev.v1alpha1.sheriffs": ClusterCachedResource with this GVR already exists in the '
            f'"{PROVIDER}" workspace',
        )
        why = "Resource referenced in ClusterCachedResource must be cluster-scoped"
        assert await refused(made, cached_resource("x", resource="deputies")) == (
            403,
            f'{prefix}: Invalid value: "deputies.wild.dev": {why}',
        )
        core = cached_resource("x", group="", version="v1", resource="configmaps")
        assert await refused(made, core) == (403, f'{prefix}: Invalid value: "configmaps": {why}')
        bad = {"matchExpressions": [{"key": "a", "operator": "Like"}]}
        assert (await refused(made, cached_resource("x", resource="others", labelSelector=bad)))[0] == 403
        many = {"matchExpressions": [{"key": "a", "operator": "In", "values": [f"v{number}" for number in range(500)]}]}
        status, message = await refused(made, cached_resource("x", resource="others", labelSelector=many))
        assert (status, message.endswith("must have at most 500 keys and values")) == (403, True)
        body = cached_resource("x")
        del body["spec"]["resource"]
        assert (await refused(made, body))[0] == 422


async def test_who_replicates_may_read() -> None:
    everything: Object = {"apiGroups": ["cache.kcp.io"], "resources": ["*"], "verbs": ["*"]}
    async with county() as made:
        await made.here.role(PROVIDER, "keeper", ACCESS, everything)
        await made.here.bind_role(PROVIDER, "keeper", "keeper", "keeper")
        path = f"/clusters/{PROVIDER}{CACHED}"
        status, answer = await made.here.call("POST", path, person("keeper"), cached_resource())
        assert (status, answer["message"]) == (
            403,
            'clustercachedresources.cache.kcp.io "sheriffs" is forbidden: spec: Forbidden: who replicates sheriffs.wild.dev '
            'needs the verbs "get, list, watch" on it',
        )
        await made.here.role(PROVIDER, "reader", READ)
        await made.here.bind_role(PROVIDER, "reader", "reader", "keeper")
        assert (await made.here.call("POST", path, person("keeper"), cached_resource()))[0] == 201
        patch = {"spec": {"resource": "clusterroles", "group": "rbac.authorization.k8s.io", "version": "v1"}}
        merge = {"content_type": "application/merge-patch+json"}
        assert (await made.here.call("PATCH", f"{path}/sheriffs", person("keeper"), patch, **merge))[0] == 403


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"resource": "deputies"}, "ResourceNotClusterScoped"),
        ({"resource": "unknowns"}, "NoResources"),
        ({"version": "v9"}, "NoResources"),
        ({"group": "authorization.k8s.io", "version": "v1", "resource": "subjectaccessreviews"}, "NoResources"),
    ],
)
async def test_an_edit_to_another_resource_says_what_is_wrong(spec: dict[str, Any], reason: str) -> None:
    async with county() as made:
        await made.here.put(PROVIDER, "apiextensions.k8s.io", "customresourcedefinitions", crd("deputies", "Namespaced"))
        await made.sheriff("doc")
        await made.replicate()
        await copied(made, "doc")
        await made.merge(f"{CACHED}/sheriffs", {"spec": spec})
        await made.here.until(lambda: made.conditions().get("ResourceValid") == ("False", reason))
        assert made.status()["phase"] == "Initializing"
        assert "resourceCounts" not in made.status()
        assert made.conditions()["ReplicationStarted"] == ("False", "ResourceInvalid")
        await copied(made)
        # Its deletion does not need the type.
        await made.delete(f"{CACHED}/sheriffs")
        await made.here.until(lambda: not made.cached())


async def test_a_type_that_comes_later_is_replicated() -> None:
    async with county() as made:
        await made.post(CACHED, cached_resource("deputies", resource="deputies"))
        await made.here.until(
            lambda: "ResourceValid" in str(made.cached("deputies").get("status")),
        )
        await made.here.put(PROVIDER, "apiextensions.k8s.io", "customresourcedefinitions", crd("deputies"))
        body = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Deputie", "metadata": {"name": "virgil"}}
        await made.post(f"/apis/{GROUP}/v1alpha1/deputies", body)
        await copied(made, "virgil")
        await made.here.until(lambda: made.cached("deputies")["status"]["phase"] == "Ready")


async def test_built_in_and_bound_types_are_replicated() -> None:
    async with county() as made:
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "look"}, "rules": []}
        await made.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
        await made.post(
            CACHED, cached_resource("roles", group="rbac.authorization.k8s.io", version="v1", resource="clusterroles")
        )

        async def has_role() -> bool:
            return "look" in copies(made)

        await made.after(has_role)
        # A version that is not the one that is stored, and differs from it.
        await made.post(CACHED, cached_resource("exports", group="apis.kcp.io", version="v1alpha1", resource="apiexports"))
        await made.here.export(PROVIDER)

        async def exported() -> Object | None:
            for group, names in made.there.tenancy.catalog.names(REPLICATED):
                if "cowboys" in names:
                    return made.there.tenancy.catalog.get(REPLICATED, group, "cowboys")
            return None

        export = await made.after(exported)
        assert export["spec"]["latestResourceSchemas"] == ["v1.cowboys.wild.west"]
        assert "resources" not in export["spec"]


async def test_a_workspace_replicates_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publications, "OBJECTS_MAX", 2)
    async with county() as made:
        await made.replicate()
        for name in ("a", "b", "c"):
            await made.sheriff(name)
        await made.here.until(lambda: made.conditions().get("ReplicationComplete") == ("False", "LimitExceeded"))
        assert made.counts() == (2, 3)
        await copied(made, "a", "b")
        await made.delete(f"{SHERIFFS}/a")
        await copied(made, "b", "c")
        await made.here.until(lambda: "ReplicationComplete" not in made.conditions())
        monkeypatch.setattr(publications, "OBJECT_BYTES_MAX", 100)
        # An object that does not fit any more leaves no old copy.
        await made.merge(f"{SHERIFFS}/b", {"spec": {"star": "x" * 100}})
        await copied(made, "c")


async def test_a_workspace_has_not_many_cached_resources() -> None:
    async with county() as made:
        for number in range(publications.PUBLICATIONS_MAX):
            await made.post(CACHED, cached_resource(f"r{number}", resource=f"r{number}"))
        status, message = await refused(made, cached_resource("more", resource="more"))
        assert (status, message.endswith("a workspace has at most 50 of these")) == (403, True)
        await made.delete(f"{CACHED}/r0")
        await made.here.until(lambda: not made.cached("r0"))
        await made.post(CACHED, cached_resource("more", resource="more"))


async def test_a_new_owner_continues() -> None:
    async with county() as made:
        await made.sheriff("doc")
        await made.replicate()
        await copied(made, "doc")
        before = made.here.get(PROVIDER, "wild.dev/sheriffs", "doc")
    # The store stays; another process owns the range now.
    async with ServedShard(store=made.here.store) as again:
        body = {"apiVersion": f"{GROUP}/v1alpha1", "kind": "Sheriff", "metadata": {"name": "wyatt"}, "spec": {}}
        assert (await again.call("POST", f"/clusters/{PROVIDER}{SHERIFFS}", MASTER, body))[0] == 201
        assert {name for _, names in again.tenancy.catalog.names(REPLICATED) for name in names} == {"doc", "wyatt"}
        assert again.get(PROVIDER, "wild.dev/sheriffs", "doc") == before
