"""The type SyncTarget (kcp 0.11: workload.kcp.io/v1alpha1), and the function that computes its status."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tenantry.virtual.interface import Object, ViewType, ViewUrls, annotations_of, mark_false, mark_true, name_of, timestamp
from tenantry_syncer.names import CLUSTER_ANNOTATION, GROUP, SYNC_TARGETS, VERSION, Target

RESOURCE = f"{GROUP}/{SYNC_TARGETS}"
STALE_SECONDS = 30.0
"""Without a heartbeat for so long, a SyncTarget is not ready: three heartbeats of an agent with default settings."""
ACCEPTED = "Accepted"
ACCEPTED_CLUSTERS_MAX = 10_000

_TEXT: Object = {"type": "string"}
_AMOUNTS: Object = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
    },
}


def _object(properties: dict[str, Any], *required: str) -> Object:
    made: Object = {"type": "object", "properties": properties}
    return {**made, "required": list(required)} if required else made


def _list_of(items: Object, *keys: str) -> Object:
    made: Object = {"type": "array", "items": items}
    return {**made, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)} if keys else made


_SPEC = _object(
    {
        "unschedulable": {"type": "boolean", "default": False},
        "evictAfter": {"type": "string", "format": "date-time"},
        "supportedAPIExports": _list_of(_object({"path": _TEXT, "export": {"type": "string", "minLength": 1}}, "export")),
        "cells": {"type": "object", "additionalProperties": _TEXT},
        # tenantry's own. Without it, each user who knows the key can assign objects.
        "acceptedClusters": {**_list_of(_TEXT), "maxItems": ACCEPTED_CLUSTERS_MAX},
    }
)
_STATUS = _object(
    {
        "key": _TEXT,
        "allocatable": _AMOUNTS,
        "capacity": _AMOUNTS,
        "conditions": _list_of(
            _object(
                {
                    "type": _TEXT,
                    "status": _TEXT,
                    "reason": _TEXT,
                    "message": _TEXT,
                    "severity": _TEXT,
                    "lastTransitionTime": {"type": "string", "format": "date-time"},
                },
                "type",
                "status",
                "lastTransitionTime",
            )
        ),
        "lastSyncerHeartbeatTime": {"type": "string", "format": "date-time"},
        "syncedResources": _list_of(
            _object(
                {
                    "group": {"type": "string", "default": ""},
                    "resource": {"type": "string", "minLength": 1},
                    "versions": _list_of(_TEXT),
                    "identityHash": _TEXT,
                    "state": {"type": "string", "enum": ["Pending", "Incompatible", "Accepted"], "default": "Pending"},
                },
                "resource",
            )
        ),
        "virtualWorkspaces": _list_of(_object({"syncerURL": _TEXT, "upsyncerURL": _TEXT}, "syncerURL")),
    }
)
_COLUMNS = (
    ("Location", "string", ".metadata.name"),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
    ("Synced API resources", "string", ".status.syncedResources[*].resource"),
    ("Key", "string", ".status.key"),
    ("Age", "date", ".metadata.creationTimestamp"),
)
SPEC: Object = {
    "group": GROUP,
    "names": {
        "plural": SYNC_TARGETS,
        "singular": "synctarget",
        "kind": "SyncTarget",
        "listKind": "SyncTargetList",
        "categories": ["kcp"],
    },
    "scope": "Cluster",
    "versions": [
        {
            "name": VERSION,
            "served": True,
            "storage": True,
            "subresources": {"status": {}},
            "additionalPrinterColumns": [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in _COLUMNS],
            "schema": {"openAPIV3Schema": _object({"spec": _SPEC, "status": _STATUS})},
        }
    ],
}


def copied(target: Object) -> Object:
    """What every shard has a copy of: which types are synced, and of which logical clusters. Heartbeats are not in it, so that
    they stay on one shard."""
    accepted = [entry for entry in (target.get("status") or {}).get("syncedResources") or () if entry.get("state") == ACCEPTED]
    clusters = (target.get("spec") or {}).get("acceptedClusters") or []
    return {
        "metadata": {"name": name_of(target)},
        "spec": {"acceptedClusters": clusters},
        "status": {"syncedResources": accepted},
    }


def status(target: Object, urls: ViewUrls, now: datetime) -> tuple[Object, float | None]:
    """The status with the key, the URLs of all ranges and the conditions, and when the heartbeat will be too old."""
    cluster, name = annotations_of(target)[CLUSTER_ANNOTATION], name_of(target)
    found: Object = {**(target.get("status") or {}), "key": Target(cluster, name).key}
    found["virtualWorkspaces"] = [
        {"syncerURL": url, "upsyncerURL": url.replace("/services/syncer/", "/services/upsyncer/")}
        for _, url in urls(cluster, name)
    ]
    at = timestamp(now)
    heartbeat = found.get("lastSyncerHeartbeatTime")
    if heartbeat is None:
        for condition in ("HeartbeatHealthy", "SyncerReady", "Ready"):
            mark_false(found, condition, "NoHeartbeat", "no syncer has sent a heartbeat", at)
        return found, None
    left = (datetime.fromisoformat(heartbeat) + timedelta(seconds=STALE_SECONDS) - now).total_seconds()
    if left <= 0:
        for condition in ("HeartbeatHealthy", "SyncerReady", "Ready"):
            mark_false(found, condition, "ErrorHeartbeat", f"no heartbeat since {heartbeat}", at)
        return found, None
    for condition in ("HeartbeatHealthy", "SyncerReady", "Ready"):
        mark_true(found, condition, at)
    return found, left


SYNC_TARGET = ViewType(spec=SPEC, copied=copied, status=status)
