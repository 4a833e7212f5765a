"""What the agent reports in the status of its SyncTarget, and what it reads there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from tenantry_sync_agent.api_client import Object
from tenantry_sync_agent.discovery import Type, Types
from tenantry_syncer.names import GROUP, SYNC_TARGETS, VERSION

ACCEPTED, INCOMPATIBLE, PENDING = "Accepted", "Incompatible", "Pending"


class Urls(NamedTuple):
    """The URLs of one range."""

    syncer: str
    upsyncer: str


def path(name: str = "") -> str:
    """The path of SyncTargets in a workspace, or of one."""
    place = f"/apis/{GROUP}/{VERSION}/{SYNC_TARGETS}"
    return f"{place}/{name}" if name else place


def urls_of(target: Object) -> list[Urls]:
    """The URLs of the view in the status of a SyncTarget, one for each range."""
    found = (target.get("status") or {}).get("virtualWorkspaces") or ()
    return [Urls(entry["syncerURL"].rstrip("/"), entry.get("upsyncerURL", "").rstrip("/")) for entry in found]


def synced_resources(wanted: Sequence[str], bindings: Iterable[Object], below: Types) -> list[Object]:
    """`status.syncedResources`: each wanted type (`deployments.apps`) with the identity of the export that the workspace of the
    SyncTarget has bound for it.

    Pending: it is not bound. Incompatible: the server below does not have it in a version of the export. Accepted: it is synced.
    """
    bound: dict[tuple[str, str], Object] = {}
    for binding in bindings:
        for resource in (binding.get("status") or {}).get("boundResources") or ():
            bound[resource["group"], resource["resource"]] = resource
    found = []
    for name in wanted:
        plural, _, group = name.partition(".")
        entry: Object = {"group": group, "resource": plural, "versions": sorted(below.get((group, plural), ()))}
        resource = bound.get((group, plural))
        if resource is None:
            entry["state"] = PENDING
        else:
            entry["identityHash"] = resource["schema"]["identityHash"]
            versions = set(resource.get("storageVersions") or entry["versions"])
            entry["state"] = ACCEPTED if versions.intersection(entry["versions"]) else INCOMPATIBLE
        found.append(entry)
    return found


def first_versions(wanted: Sequence[str], below: Types) -> dict[tuple[str, str], Type]:
    """The wanted types (`deployments.apps`) that the server below has, in a version of its own choice."""
    names = ((group, plural) for plural, _, group in (name.partition(".") for name in wanted))
    return {name: next(iter(below[name].values())) for name in names if below.get(name)}


def heartbeat(now: datetime, synced: Sequence[Object], nodes: Iterable[Object]) -> Object:
    """The merge patch of a heartbeat. Capacity is what the ready nodes below have together."""
    status: Object = {
        "lastSyncerHeartbeatTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "syncedResources": list(synced),
    }
    statuses = [node.get("status") or {} for node in nodes]
    for field in ("capacity", "allocatable"):
        total = total_of([status.get(field) or {} for status in statuses])
        if total:
            status[field] = total
    return {"status": status}


_SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}


def total_of(amounts: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """The sums of Kubernetes quantities by name, in whole units or in thousandths (`m`). Unreadable ones do not count."""
    sums: dict[str, int] = {}
    for amount in amounts:
        for name, text in amount.items():
            thousandths = _thousandths(str(text))
            if thousandths is not None:
                sums[name] = sums.get(name, 0) + thousandths
    return {name: str(value // 1000) if value % 1000 == 0 else f"{value}m" for name, value in sums.items()}


def _thousandths(text: str) -> int | None:
    try:
        if text.endswith("m"):
            return int(text[:-1])
        digits = text.rstrip("kMGTi")
        return round(float(digits) * 1000 * _SUFFIXES[text[len(digits) :]])
    except (ValueError, KeyError, OverflowError):
        return None


def usable(kinds: Mapping[tuple[str, str], Type], synced: Sequence[Object]) -> dict[tuple[str, str], Type]:
    """The types that both servers have, without those that the status does not accept."""
    refused = {(entry["group"], entry["resource"]) for entry in synced if entry["state"] != ACCEPTED}
    return {name: kind for name, kind in kinds.items() if name not in refused}
