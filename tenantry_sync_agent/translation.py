"""What an object looks like on the other server. Pure functions of values."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from tenantry_sync_agent.api_client import Object
from tenantry_syncer.names import (
    CLUSTER_ANNOTATION,
    LOCATOR_ANNOTATION,
    OWNER_LABEL,
    STATE_LABEL_PREFIX,
    UPSTREAM_UID_ANNOTATION,
    UPSTREAM_VERSION_ANNOTATION,
    UPSYNC,
    Target,
    downstream_namespace,
    is_of_workload,
    located,
    locator,
)

APPLIED_ANNOTATION = "internal.workload.kcp.io/applied"
"""A digest of what was applied, which shows that fields were removed since."""
MANAGER = "syncer"
"""The field manager of everything that is written below (kcp's name)."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LEFT_OUT = frozenset({"metadata", "status"})


def cluster_of(obj: Object) -> str:
    """The id of the logical cluster of an object above."""
    found: str = (obj["metadata"].get("annotations") or {}).get(CLUSTER_ANNOTATION, "")
    return found


def desired(up: Object, target: Target) -> Object:
    """The object below for an object above, without status: names and values, and no owners, finalizers or versions, which mean
    nothing there."""
    metadata = up["metadata"]
    cluster, namespace = cluster_of(up), metadata["namespace"]
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if not is_of_workload(name)}
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if _is_synced(name)}
    labels[OWNER_LABEL] = target.key
    annotations[LOCATOR_ANNOTATION] = locator(target, cluster, namespace)
    annotations[UPSTREAM_UID_ANNOTATION] = metadata["uid"]
    made = {
        "apiVersion": up["apiVersion"],
        "kind": up["kind"],
        "metadata": {
            "name": metadata["name"],
            "namespace": downstream_namespace(target, cluster, namespace),
            "labels": labels,
            "annotations": annotations,
        },
        **{name: value for name, value in up.items() if name not in _LEFT_OUT and name not in ("apiVersion", "kind")},
    }
    annotations[APPLIED_ANNOTATION] = hashlib.sha224(orjson.dumps(made, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return made


def raised(down: Object, target: Target) -> Object:
    """The object above for one that comes from below, without status. An annotation has its version below."""
    metadata = down["metadata"]
    annotations = {name: value for name, value in (metadata.get("annotations") or {}).items() if _is_synced(name)}
    labels = {name: value for name, value in (metadata.get("labels") or {}).items() if not is_of_workload(name)}
    return {
        **{name: value for name, value in down.items() if name not in _LEFT_OUT},
        "metadata": {
            "name": metadata["name"],
            "labels": {**labels, STATE_LABEL_PREFIX + target.key: UPSYNC},
            "annotations": {**annotations, UPSTREAM_VERSION_ANNOTATION: metadata["resourceVersion"]},
        },
    }


def namespace_object(target: Target, cluster: str, namespace: str) -> Object:
    """The namespace below of a namespace above."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": downstream_namespace(target, cluster, namespace),
            "labels": {OWNER_LABEL: target.key},
            "annotations": {LOCATOR_ANNOTATION: locator(target, cluster, namespace)},
        },
    }


def origin(down: Object, target: Target) -> tuple[str, str] | None:
    """(logical cluster, namespace) above of an object below. None if the syncer of this SyncTarget does not own it."""
    metadata = down["metadata"]
    if (metadata.get("labels") or {}).get(OWNER_LABEL) != target.key:
        return None
    return located(target, (metadata.get("annotations") or {}).get(LOCATOR_ANNOTATION))


def contains(found: Any, wanted: Any) -> bool:
    """Whether a value has everything that another one has. Lists have to be equal in length and order."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(name in found and contains(found[name], part) for name, part in wanted.items())
    if isinstance(wanted, list):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(contains, found, wanted))
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def merge_patch(old: Any, new: Any) -> Any:
    """The JSON merge patch (RFC 7386) that makes `new` of `old`. Values of None in `new` cannot be told from missing ones."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch: Object = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name not in old:
            patch[name] = value
        elif old[name] != value:
            patch[name] = merge_patch(old[name], value)
    return patch


def created_by_update(down: Object) -> bool:
    """Whether the fields of an object were written by this syncer's create, which counts as an update and not as an apply."""
    return any(map(_is_created, down["metadata"].get("managedFields") or ()))


def as_applied(down: Object) -> list[Object]:
    """A JSON patch after which the fields that were created count as applied, so that a later apply can remove them (client-go:
    csaupgrade). It fails if the object has changed."""
    entries = [{**entry, "operation": "Apply"} if _is_created(entry) else entry for entry in down["metadata"]["managedFields"]]
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": entries},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": down["metadata"]["resourceVersion"]},
    ]


def _is_created(entry: Object) -> bool:
    return entry.get("manager") == MANAGER and entry.get("operation") == "Update" and not entry.get("subresource")


def _is_synced(annotation: str) -> bool:
    domain = annotation.partition("/")[0]
    return annotation != _LAST_APPLIED and domain != "kcp.io" and not domain.endswith(".kcp.io")
