"""Published URLs come with the first consumer and go with the last."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e.provider import ALL_COWBOYS, Provider, export, schema
from tests.support.api import (
    API_BINDINGS,
    API_EXPORTS,
    API_RESOURCE_SCHEMAS,
    ENDPOINT_SLICES,
    SHARDS,
    WORKSPACE_TYPES,
    Api,
    Object,
)
from tests.support.forms import platform
from tests.support.waiting import wait_for


def test_come_and_go_with_consumers(root: Api, unique: Callable[[str], str]) -> None:
    provider = Provider.install(root.workspace(unique("provider")), schema())
    slice_path = f"{ENDPOINT_SLICES}/cowboys"
    wait_for(lambda: provider.api.get(slice_path).get("status", {}).get("conditions"))
    assert provider.urls() == []
    found = provider.api.get(slice_path)
    assert found["spec"]["export"]["name"] == "cowboys"
    assert found["metadata"]["ownerReferences"][0]["kind"] == "APIExport"
    assert {c["type"]: c["status"] for c in found["status"]["conditions"]}["APIExportValid"] == "True"

    first = provider.bind(root.workspace(unique("consumer")))
    url = f"{root.origin}/ranges/root/services/apiexport/{provider.api.name}/cowboys"
    wait_for(lambda: provider.urls() == [url])
    second = provider.bind(root.workspace(unique("consumer")))
    first.delete(f"{API_BINDINGS}/cowboys")
    first.gone(f"{API_BINDINGS}/cowboys")
    assert provider.view().status_of("GET", ALL_COWBOYS) == 200
    assert provider.urls() == [url]
    with provider.api.watch(ENDPOINT_SLICES, fieldSelector="metadata.name=cowboys") as watch:
        second.delete(f"{API_BINDINGS}/cowboys")
        watch.until(lambda e: not e["object"]["status"].get("endpoints"), "slice without URLs")


def test_go_with_a_deleted_consumer(root: Api, unique: Callable[[str], str]) -> None:
    provider = Provider.install(root.workspace(unique("provider")), schema())
    name = unique("consumer")
    provider.bind(root.workspace(name))
    provider.url()
    root.delete(f"/apis/tenancy.kcp.io/v1alpha1/workspaces/{name}")
    wait_for(lambda: provider.urls() == [])


def test_go_with_the_export(root: Api, unique: Callable[[str], str]) -> None:
    provider = Provider.install(root.workspace(unique("provider")), schema())
    provider.bind(root.workspace(unique("consumer")))
    provider.url()
    own = {
        "apiVersion": "apis.kcp.io/v1alpha1",
        "kind": "APIExportEndpointSlice",
        "metadata": {"name": "own"},
        "spec": {"export": {"name": "cowboys"}},
    }
    provider.api.create(ENDPOINT_SLICES, own)
    wait_for(lambda: provider.api.get(f"{ENDPOINT_SLICES}/own").get("status", {}).get("endpoints"))
    provider.api.delete(f"{API_EXPORTS}/cowboys")
    provider.api.gone(f"{ENDPOINT_SLICES}/cowboys")

    def status() -> tuple[bool, str]:
        found = provider.api.get(f"{ENDPOINT_SLICES}/own")["status"]
        conditions = {c["type"]: c.get("reason", "") for c in found["conditions"] if c["status"] == "False"}
        return bool(found.get("endpoints")), conditions.get("APIExportValid", "")

    wait_for(lambda: status() == (False, "APIExportNotFound"))


def test_partition_chooses_ranges(root: Api, unique: Callable[[str], str]) -> None:
    provider = Provider.install(root.workspace(unique("provider")), schema())
    provider.bind(root.workspace(unique("consumer")))
    for name, selector in (("here", {"name": "root"}), ("there", {"name": "elsewhere"})):
        partition = {
            "apiVersion": "topology.kcp.io/v1alpha1",
            "kind": "Partition",
            "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": selector}},
        }
        provider.api.create("/apis/topology.kcp.io/v1alpha1/partitions", partition)
        wanted = {
            "apiVersion": "apis.kcp.io/v1alpha1",
            "kind": "APIExportEndpointSlice",
            "metadata": {"name": name},
            "spec": {"export": {"name": "cowboys"}, "partition": name},
        }
        provider.api.create(ENDPOINT_SLICES, wanted)
    wait_for(lambda: provider.api.get(f"{ENDPOINT_SLICES}/here").get("status", {}).get("endpoints"))
    there = wait_for(lambda: provider.api.get(f"{ENDPOINT_SLICES}/there").get("status", {}).get("shardSelector"))
    assert there == "name=elsewhere"
    assert not provider.api.get(f"{ENDPOINT_SLICES}/there")["status"].get("endpoints")


def test_export_without_a_slice_of_its_own(root: Api, unique: Callable[[str], str]) -> None:
    api = root.workspace(unique("provider"))
    api.create(API_RESOURCE_SCHEMAS, schema())
    body = export("cowboys", schema())
    body["metadata"]["annotations"] = {"apiexports.apis.kcp.io/skip-endpointslice": "true"}
    api.create(API_EXPORTS, body)
    wait_for(lambda: api.get(f"{API_EXPORTS}/cowboys").get("status", {}).get("identityHash"))
    assert api.names(ENDPOINT_SLICES) == []


def test_workspace_type_lists_every_range(root: Api, unique: Callable[[str], str]) -> None:
    org = root.workspace(unique("org"))
    body = {
        "apiVersion": "tenancy.kcp.io/v1alpha1",
        "kind": "WorkspaceType",
        "metadata": {"name": "special"},
        "spec": {"initializer": True, "terminator": True},
    }
    org.create(WORKSPACE_TYPES, body)
    found = wait_for(lambda: org.get(f"{WORKSPACE_TYPES}/special").get("status", {}).get("virtualWorkspaces"))
    ranges = root.names(SHARDS)
    assert {(v["type"], v["url"]) for v in found} == {
        (kind, f"{root.origin}/ranges/{name}/services/{kind}workspaces/{org.name}:special")
        for kind in ("initializing", "terminating")
        for name in ranges
    }


def test_exports_themselves_name_urls_only_if_asked(form: str, tmp_path: Path, place: Api) -> None:
    """kcp's deprecated field, which is behind a feature gate there: the URLs of all ranges, with or without consumers."""
    silent = partial(Provider.install(place, schema()).api.get, f"{API_EXPORTS}/cowboys")
    wait_for(partial(_status, silent, "identityHash"))
    assert "virtualWorkspaces" not in silent()["status"]
    with platform(form, tmp_path, api_export_urls=True) as server:
        provider = Provider.install(server.root.workspace("provider"), schema())
        url = f"{server.url}/ranges/root/services/apiexport/{provider.api.name}/cowboys"
        export_of = partial(provider.api.get, f"{API_EXPORTS}/cowboys")
        assert wait_for(partial(_status, export_of, "virtualWorkspaces")) == [{"url": url}]


def _status(get: Callable[[], Object], field: str) -> Any:
    return get().get("status", {}).get(field)
