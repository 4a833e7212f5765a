"""What goes into the status of a SyncTarget, and what is read of it."""

from __future__ import annotations

from datetime import UTC, datetime

from tenantry_sync_agent.api_client import Object
from tenantry_sync_agent.discovery import Type, synced, types_of
from tenantry_sync_agent.target import heartbeat, synced_resources, total_of, urls_of, usable

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_urls() -> None:
    assert urls_of({}) == []
    found = urls_of({"status": {"virtualWorkspaces": [{"syncerURL": "https://a/", "upsyncerURL": "https://b"}]}})
    assert found == [("https://a", "https://b")]


def test_heartbeats() -> None:
    nodes: list[Object] = [
        {"status": {"capacity": {"cpu": "4", "memory": "2Gi"}, "allocatable": {"cpu": "1500m"}}},
        {"status": {}},
    ]
    nodes.append({"status": {"capacity": {"cpu": "500m", "memory": "1Mi", "odd": "x"}, "allocatable": {"cpu": "1"}}})
    status = heartbeat(NOW, [], nodes)["status"]
    assert status == {
        "lastSyncerHeartbeatTime": "2026-01-02T03:04:05Z",
        "syncedResources": [],
        "capacity": {"cpu": "4500m", "memory": str((2 << 30) + (1 << 20))},
        "allocatable": {"cpu": "2500m"},
    }
    assert "capacity" not in heartbeat(NOW, [], [])["status"]
    assert total_of([{"a": "1.5"}, {"a": "1k"}]) == {"a": "1001500m"}


def test_types_in_a_common_version() -> None:
    def types(group: str, *versions: str) -> dict[str, Type]:
        entry = {"kind": "Widget", "namespaced": True, "verbs": ["get", "list", "watch", "patch", "create"]}
        document = {"resources": [{**entry, "name": name} for name in ("widgets", "widgets/status")]}
        return {version: types_of(group, version, document)[0] for version in versions}

    above = {("g", "widgets"): types("g", "v2", "v1"), ("g", "others"): types("g", "v1")}
    below = {("g", "widgets"): types("g", "v1")}
    chosen = synced(above, below)
    assert list(chosen) == [("g", "widgets")]
    kind = chosen["g", "widgets"]
    assert (kind.version, kind.has_status, kind.name) == ("v1", True, "widgets.g")
    assert kind.path("ns", "a") == "/apis/g/v1/namespaces/ns/widgets/a"
    assert usable(chosen, [{"group": "g", "resource": "widgets", "state": "Incompatible"}]) == {}
    assert usable(chosen, [{"group": "g", "resource": "widgets", "state": "Accepted"}]) == chosen


def test_states_of_synced_resources() -> None:
    bound = {"group": "g", "resource": "widgets", "schema": {"identityHash": "abc"}, "storageVersions": ["v1"]}
    bindings = [{"status": {"boundResources": [bound]}}, {}]

    def state(name: str, *versions: str) -> tuple[str, str | None]:
        below = {("g", "widgets"): dict.fromkeys(versions)} if versions else {}
        (found,) = synced_resources([name], bindings, below)  # type: ignore[arg-type]
        return found["state"], found.get("identityHash")

    assert state("widgets.g", "v1") == ("Accepted", "abc")
    assert state("widgets.g", "v2") == ("Incompatible", "abc")
    assert state("widgets.g") == ("Incompatible", "abc")
    assert state("others.g", "v1") == ("Pending", None)
