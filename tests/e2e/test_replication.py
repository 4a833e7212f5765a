"""Replicated objects: a provider's, read by consumers on its own shard and on another one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

import pytest
import yaml

from tests.e2e.kubeconfig import kubeconfig
from tests.e2e.provider import GROUP, binding, schema
from tests.e2e.test_kubectl import Kubectl
from tests.e2e.test_views_two_shards import far_workspace
from tests.support.api import API_BINDINGS, API_EXPORTS, API_RESOURCE_SCHEMAS, CRDS, WORKSPACES, Api, Object
from tests.support.forms import Platform, platform
from tests.support.informers import Informers
from tests.support.tools import kubectls, program
from tests.support.waiting import wait_for

pytestmark = pytest.mark.views

CACHE = "/apis/cache.kcp.io/v1alpha1"
CACHED = f"{CACHE}/clustercachedresources"
SLICES = f"{CACHE}/clustercachedresourceendpointslices"
SHERIFFS = f"/apis/{GROUP}/v1/sheriffs"
FOLLOWING = ("-group", GROUP, "-resource", "sheriffs", "-field", "spec.star")
SECONDS = 1.0
"""How long a change may take to a consumer's watch."""


def sheriff(name: str, star: str = "tin", **labels: str) -> Object:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Sheriff",
        "metadata": {"name": name, "labels": labels},
        "spec": {"star": star},
    }


def cached_resource(**spec: object) -> Object:
    return {
        "apiVersion": "cache.kcp.io/v1alpha1",
        "kind": "ClusterCachedResource",
        "metadata": {"name": "sheriffs"},
        "spec": {"group": GROUP, "version": "v1", "resource": "sheriffs", **spec},
    }


def install(provider: Api) -> None:
    """Everything that a provider makes, as a platform team would: the type, what is replicated, and the export of it."""
    cluster_scoped = schema("sheriffs", "Sheriff", fields="star")
    spec = {**cluster_scoped["spec"], "scope": "Cluster"}
    versions = [{**each, "schema": {"openAPIV3Schema": each["schema"]}} for each in spec["versions"]]
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"sheriffs.{GROUP}"},
        "spec": {**spec, "versions": versions},
    }
    provider.create(CRDS, crd)
    wait_for(lambda: provider.status_of("GET", SHERIFFS) == 200, "sheriffs are served")
    provider.create(SHERIFFS, sheriff("doc"))
    provider.create(CACHED, cached_resource())

    def identity() -> str:
        status = provider.get(f"{CACHED}/sheriffs").get("status") or {}
        return str(status.get("identityHash", "")) if status.get("phase") == "Ready" else ""

    storage = {
        "virtual": {
            "reference": {"apiGroup": "cache.kcp.io", "kind": "ClusterCachedResourceEndpointSlice", "name": "sheriffs"},
            "identityHash": wait_for(identity, "the sheriffs are replicated"),
        }
    }
    endpoint_slice = {
        "apiVersion": "cache.kcp.io/v1alpha1",
        "kind": "ClusterCachedResourceEndpointSlice",
        "metadata": {"name": "sheriffs"},
        "spec": {"clusterCachedResource": {"name": "sheriffs"}, "export": {"name": "offices"}},
    }
    provider.create(SLICES, endpoint_slice)
    provider.create(API_RESOURCE_SCHEMAS, {**cluster_scoped, "spec": spec})
    entry = {"name": "sheriffs", "group": GROUP, "schema": cluster_scoped["metadata"]["name"], "storage": storage}
    export = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIExport", "metadata": {"name": "offices"}}
    provider.create(API_EXPORTS, {**export, "spec": {"resources": [entry]}})
    wait_for(lambda: provider.get(f"{API_EXPORTS}/offices").get("status", {}).get("identityHash"), "the export has an identity")


def bind(consumer: Api, provider: Api) -> None:
    consumer.create(API_BINDINGS, binding(provider.name, "offices"))
    wait_for(lambda: consumer.status_of("GET", SHERIFFS) == 200, "the consumer reads sheriffs")


@pytest.fixture(scope="module")
def running(form: str, tmp_path_factory: pytest.TempPathFactory, tokens: Path) -> Iterator[Platform]:
    """One for all of the tests here, the last of which crashes it."""
    with platform(form, tmp_path_factory.mktemp("replication"), shards=2, range_capacity=4, token_file=tokens) as server:
        yield server


@pytest.fixture(scope="module")
def spread(running: Platform) -> tuple[Api, Sequence[Api]]:
    """A provider in the range `root`, and consumers in that range and in one of the other shard."""
    root = running.root
    provider, near = root.workspace("provider"), root.workspace("near")
    _, far = far_workspace(root, "far")
    install(provider)
    for consumer in (near, far):
        bind(consumer, provider)
    return provider, (near, far)


def test_a_change_reaches_consumers_of_all_shards(spread: tuple[Api, Sequence[Api]]) -> None:
    provider, consumers = spread
    for consumer in consumers:
        wait_for(partial(consumer.names, SHERIFFS), "what was there before")
        assert consumer.names(SHERIFFS) == ["doc"]
        version = consumer.get(SHERIFFS)["metadata"]["resourceVersion"]
        with consumer.watch(SHERIFFS, resourceVersion=version) as events:
            follow = iter(events)
            for kind, change in (
                ("ADDED", lambda: provider.create(SHERIFFS, sheriff("wyatt"))),
                ("MODIFIED", lambda: provider.patch(f"{SHERIFFS}/wyatt", {"spec": {"star": "gold"}})),
                ("DELETED", lambda: provider.delete(f"{SHERIFFS}/wyatt")),
            ):
                began = time.monotonic()
                change()
                event = next(follow)
                assert time.monotonic() - began < SECONDS
                obj = event["object"]
                assert (event["type"], obj["metadata"]["name"]) == (kind, "wyatt")
                assert obj["metadata"]["annotations"]["kcp.io/cluster"] == consumer.name
        assert consumer.status_of("DELETE", f"{SHERIFFS}/doc") == 405
    urls = wait_for(lambda: _urls(provider, len(consumers)), "a URL for each range with a consumer")
    for url in urls:
        assert url.endswith(f"/services/replication/{provider.name}/sheriffs")
    views = [provider.at(f"{url}/clusters/{consumers[1].name}") for url in urls]
    wait_for(lambda: 200 in [view.status_of("GET", SHERIFFS) for view in views], "the range of the consumer is open")
    assert sorted(view.status_of("GET", SHERIFFS) for view in views) == [200, 404]


def _urls(provider: Api, count: int) -> list[str]:
    status = provider.get(f"{SLICES}/sheriffs").get("status") or {}
    urls = [endpoint["url"] for endpoint in status.get("endpoints") or ()]
    return urls if len(urls) == count else []


def test_kubectl_reads_and_is_refused(running: Platform, spread: tuple[Api, Sequence[Api]], tmp_path: Path) -> None:
    path = (kubectls() or [""])[0] or program("kubectl", "it comes with kubernetes-client")
    kubectl = Kubectl(path, running.kubeconfig, tmp_path / "cache", cycle(running.urls), spread[1][1].name)
    assert [line.split()[0] for line in kubectl("get", "sheriffs").splitlines()] == ["NAME", "doc"]
    assert kubectl("get", "sheriff", "doc", "-o", "jsonpath={.spec.star}") == "tin"
    assert "create" not in kubectl("api-resources", "-o", "wide", "--verbs=list", f"--api-group={GROUP}")
    refused = kubectl("create", "-f", "-", stdin=json.dumps(sheriff("x")), fails=True)
    assert f'create is not supported on resources of kind "sheriffs.{GROUP}"' in refused
    there = kubectl.at(spread[0].name)
    assert "Ready" in there("get", "clustercachedresources", "sheriffs")
    assert "sheriffs" in there("get", "clustercachedresourceendpointslices")
    assert there("get", "cachedresources", "-o", "name") == ""


def test_an_informer_follows_selectors_and_goes_on_after_a_crash(
    running: Platform, spread: tuple[Api, Sequence[Api]], informers_binary: Path, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    provider, (_, far) = spread
    config = tmp_path / "consumer.kubeconfig"
    config.write_text(yaml.safe_dump(kubeconfig(running, far)))
    url = running.urls[-1] + far.url.removeprefix(far.origin)
    with Informers(informers_binary, config, "-url", url, *FOLLOWING) as informers:

        def holds(**stars: str) -> Callable[[], bool]:
            wanted = {f"{far.name}|/{name}": star for name, star in stars.items()}
            return lambda: informers.caches() == wanted

        wait_for(holds(doc="tin"), "the cache has what is there")
        provider.create(SHERIFFS, sheriff("wyatt", team="west"))
        wait_for(holds(doc="tin", wyatt="tin"), "a new object is in the cache")
        provider.patch(f"{CACHED}/sheriffs", {"spec": {"labelSelector": {"matchLabels": {"team": "west"}}}})
        wait_for(holds(wyatt="tin"), "an object that is not selected any more has left")
        running.kill()
        running.start()
        provider.patch(f"{SHERIFFS}/wyatt", {"spec": {"star": "gold"}})
        provider.create(SHERIFFS, sheriff("bat", team="west"))
        wait_for(holds(wyatt="gold", bat="tin"), "the cache follows again")
    counts = {"cache": 2, "local": 2}
    wait_for(lambda: provider.get(f"{CACHED}/sheriffs")["status"]["resourceCounts"] == counts, "the counts are right")
    provider.delete(f"{CACHED}/sheriffs")
    provider.gone(f"{CACHED}/sheriffs")
    wait_for(lambda: far.status_of("GET", SHERIFFS) == 500, "the consumer learns that nothing is replicated")
    # Workspaces with such types, and with what they replicate, end as others do.
    for name in ("near", "provider"):
        running.root.delete(f"{WORKSPACES}/{name}")
        running.root.gone(f"{WORKSPACES}/{name}")
