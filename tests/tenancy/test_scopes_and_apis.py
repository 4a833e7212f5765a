"""`/clusters/…` and `/ranges/…` as scopes, and the APIs that each serves."""

from __future__ import annotations

import pytest

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.path_resolver import RemoteRoute, Resolved
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.user import SYSTEM, User
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.tenancy.cluster_scope import ClusterScope, WildcardScope
from tenantry.tenancy.path_resolvers import ClustersResolver, RangesResolver
from tenantry.tenancy.resource_identity import split_identity
from tests.tenancy.open_platform import running

GET = Request("GET", "/")


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/apis/a.b/v1/things:123", ("things", "123", "/apis/a.b/v1/things")),
        ("/apis/a.b/v1/things:123/x", ("things", "123", "/apis/a.b/v1/things/x")),
        ("/api/v1/services:123", ("services", "123", "/api/v1/services")),
        ("/apis/rbac.authorization.k8s.io/v1/clusterroles/system:admin", ("", "", None)),
        ("/api/v1/configmaps", ("", "", None)),
    ],
)
def test_the_identity_is_taken_off_the_resource(path: str, wanted: tuple[str, str, str | None]) -> None:
    resource, identity, rest = split_identity(path)
    assert (resource, identity, rest) == (wanted[0], wanted[1], path if wanted[2] is None else wanted[2])


def test_an_empty_identity_is_an_internal_error() -> None:
    with pytest.raises(StatusError) as refused:
        split_identity("/apis/a.b/v1/things:")
    assert refused.value.code == 500


async def test_clusters_are_found_by_path_and_id() -> None:
    async with running() as platform:
        cluster = (await platform.workspace("root", "one"))["spec"]["cluster"]
        resolver = platform.tenancy.clusters
        for text in (cluster, "root:one"):
            scope, rest = resolved(resolver, f"{text}/api/v1/namespaces")
            assert isinstance(scope, ClusterScope)
            assert (scope.cluster, rest) == (cluster, "/api/v1/namespaces")


def resolved(resolver: ClustersResolver | RangesResolver, path: str) -> tuple[Scope | Resolved, str]:
    route = resolver.locate(path)
    assert not isinstance(route, RemoteRoute)
    found = route.resolve(GET)
    return found.scope or found, found.path


async def refusal(resolver: ClustersResolver | RangesResolver, path: str, who: User = SYSTEM) -> int:
    """The code with which a caller who may do everything is refused; 0 where it is not."""
    scope, rest = resolved(resolver, path)
    try:
        decision = scope.authorizer.authorize(Attributes(user=who, verb="get", cluster=scope.cluster or "", path=rest))
    except StatusError as error:
        return error.code
    return 0 if decision.allowed else 403


@pytest.mark.parametrize(("text", "code"), [("root:none", 404), ("NO", 400), ("zzzzzzzz", 404)])
async def test_what_is_no_cluster_is_refused(text: str, code: int) -> None:
    async with running() as platform:
        assert await refusal(platform.tenancy.clusters, f"{text}/api") == code


async def test_an_inactive_cluster_shows_only_itself() -> None:
    async with running() as platform:
        cluster = (await platform.workspace("root", "one"))["spec"]["cluster"]

        def stop(obj: Object) -> Object:
            obj["metadata"]["annotations"]["core.kcp.io/inactive"] = "true"
            return obj

        await platform.update(cluster, platform.tenancy.definitions.logical_clusters, "cluster", stop)
        resolver = platform.tenancy.clusters
        assert await refusal(resolver, f"{cluster}/api/v1/configmaps") == 403
        assert await refusal(resolver, f"{cluster}/apis/core.kcp.io/v1alpha1/logicalclusters/cluster") == 0


async def test_a_range_serves_its_own_clusters() -> None:
    async with running() as platform:
        await platform.map.open_range({})
        tenancy = platform.tenancy
        resolver = RangesResolver(
            tenancy.range_map,
            {"clusters": tenancy.clusters},
            ranges=tenancy.cell.ranges,
            is_privileged=tenancy.authorizer.is_privileged,
        )
        assert await refusal(resolver, "/root/readyz") == 0
        assert await refusal(resolver, "/root/clusters/root/api") == 0
        for path in ("/range-2/clusters/root/api", "/nowhere/readyz", "/nowhere/clusters/root/api", "/root/other"):
            assert await refusal(resolver, path) == 404


async def test_the_wildcard_lists_and_watches_for_masters_only() -> None:
    async with running() as platform:
        scope = platform.tenancy.scopes.wildcard("root")
        question = {"cluster": "*", "version": "v1", "resource": "configmaps"}
        assert scope.authorizer.authorize(Attributes(user=SYSTEM, verb="list", **question)).allowed
        assert not scope.authorizer.authorize(Attributes(user=User("ada"), verb="list", **question)).allowed
        with pytest.raises(StatusError, match="in the `\\*` logical cluster") as refused:
            scope.authorizer.authorize(Attributes(user=SYSTEM, verb="get", **question))
        assert refused.value.code == 405


async def test_the_wildcard_has_bound_resources_by_identity_only() -> None:
    async with running() as platform:
        definition = platform.tenancy.definitions.workspaces
        assert platform.tenancy.scopes.wildcard("root").apis().find("tenancy.kcp.io", "v1alpha1", "workspaces") is None
        scope, rest = resolved(platform.tenancy.clusters, f"*/apis/tenancy.kcp.io/v1alpha1/workspaces:{definition.identity}")
        assert isinstance(scope, WildcardScope)
        assert rest == "/apis/tenancy.kcp.io/v1alpha1/workspaces"
        found = scope.apis().find("tenancy.kcp.io", "v1alpha1", "workspaces")
        assert found is not None
        assert found[0] is definition


async def test_a_crd_is_served_while_it_is_established() -> None:
    async with running() as platform:
        definitions = platform.tenancy.definitions
        crds = definitions.get("apiextensions.k8s.io", "customresourcedefinitions")
        cluster = (await platform.workspace("root", "one"))["spec"]["cluster"]
        changes: list[int] = []
        stop = platform.tenancy.apis.subscribe(cluster, lambda: changes.append(1))
        shared = platform.tenancy.apis.for_cluster(cluster)
        await platform.create(cluster, crds, crd())
        assert platform.tenancy.apis.definition(cluster, "example.org", "widgets") is None

        def establish(obj: Object) -> Object:
            condition = {"type": "Established", "status": "True", "reason": "", "message": "", "lastTransitionTime": None}
            obj["status"] = {
                "conditions": [condition],
                "acceptedNames": obj["spec"]["names"],
                "storedVersions": ["v1"],
            }
            return obj

        await platform.update(cluster, crds, "widgets.example.org", establish, subresource="status")
        definition = platform.tenancy.apis.definition(cluster, "example.org", "widgets")
        assert definition is not None
        assert not definition.terminating
        assert len(changes) == 2
        stop()
        await platform.delete(cluster, crds, "widgets.example.org")
        found = platform.tenancy.apis.definition(cluster, "example.org", "widgets")
        assert found is None or found.terminating
        if found is None:
            assert platform.tenancy.apis.for_cluster(cluster) is shared


def crd() -> Object:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Cluster",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}},
            ],
        },
    }
