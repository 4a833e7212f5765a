"""Workspaces over several ranges and shards come and go whole, whenever every process is killed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import urllib3

from tests.support.api import CONFIG_MAPS, LOGICAL_CLUSTER, SHARDS, WORKSPACES, Api
from tests.support.forms import Platform, platform
from tests.support.waiting import wait_for

CAPACITY = 5
COUNT = 24


@pytest.fixture
def own(form: str, tmp_path: Path) -> Iterator[Platform]:
    with platform(form, tmp_path, shards=2, range_capacity=CAPACITY) as running:
        yield running


def attempt(method: str, api: Api, path: str, body: object = None) -> None:
    """One request that the end of the server may cut off."""
    try:
        api.request(method, path, body)
    except (urllib3.exceptions.HTTPError, OSError):
        return


def tenants(root: Api) -> dict[str, list[str]]:
    """The clusters of each range, as its wildcard shows them."""
    found = {}
    for name in root.names(SHARDS):
        items = root.at(f"/ranges/{name}/clusters/*").items(LOGICAL_CLUSTER.removesuffix("/cluster"))
        clusters = [item["metadata"]["annotations"]["kcp.io/cluster"] for item in items]
        found[name] = [cluster for cluster in clusters if cluster != "root"]
    return found


def workspace(name: str) -> dict[str, object]:
    return {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}}


def test_killed_amid_creation_and_amid_deletion(own: Platform) -> None:
    names = [f"w{number}" for number in range(COUNT)]
    with ThreadPoolExecutor(8) as pool:
        root = own.root
        begun = [pool.submit(attempt, "POST", root, WORKSPACES, workspace(name)) for name in names]
        begun[COUNT // 2].result()
        own.kill()
    own.start()
    root = own.root
    for name in names:
        assert root.status_of("POST", WORKSPACES, workspace(name)) in (201, 409)
    ready = {name: root.ready(name) for name in names}
    for api in ready.values():
        assert api.status_of("GET", CONFIG_MAPS) == 200
    found = tenants(root)
    assert sorted(cluster for clusters in found.values() for cluster in clusters) == sorted(api.name for api in ready.values())
    assert max(map(len, found.values())) <= CAPACITY
    assert len(found) == -(-COUNT // CAPACITY)

    with ThreadPoolExecutor(8) as pool:
        begun = [pool.submit(attempt, "DELETE", root, f"{WORKSPACES}/{name}") for name in names]
        begun[COUNT // 2].result()
        own.kill()
    own.start()
    root = own.root
    for name in names:
        root.status_of("DELETE", f"{WORKSPACES}/{name}")
    wait_for(lambda: root.names(WORKSPACES) == [], "every workspace is gone")
    wait_for(lambda: not any(tenants(root).values()), "every logical cluster is gone")
    assert root.workspace("again").status_of("GET", CONFIG_MAPS) == 200
