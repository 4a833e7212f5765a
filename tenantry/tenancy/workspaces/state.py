"""Pure functions on Workspaces and LogicalClusters: phase, conditions, labels and finalizers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import orjson

from tenantry.kube.objects import Object, annotations_of, is_deleting, labels_of
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.types.phase_fields import DELETING, INACTIVE, INITIALIZING, READY, TERMINATING, UNAVAILABLE
from tenantry.tenancy.well_known import INACTIVE_ANNOTATION, OWNER_ANNOTATION, PHASE_LABEL
from tenantry.tenancy.workspaces.identifiers import (
    INITIALIZER_LABEL_PREFIX,
    TERMINATOR_LABEL_PREFIX,
    initializer_label,
    terminator_label,
)
from tenantry.tenancy.workspaces.owner_annotation import owner_user

WORKSPACE_FINALIZER = "core.kcp.io/logicalcluster"
DELETION_FINALIZER = "core.kcp.io/logicalcluster-deletion"
TERMINATORS_FINALIZER = "kcp.io/has-terminators"

SCHEDULED = "WorkspaceScheduled"
INITIALIZED = "WorkspaceInitialized"
URLS_NOT_READY = "VirtualWorkspaceURLsNotReady"
"""A reason of `INITIALIZED`: a controller would not find the workspace yet."""
CONTENT_DELETED = "WorkspaceContentDeleted"
BINDINGS_INITIALIZED = "APIBindingsInitialized"


def set_labels(labels: Mapping[str, str], phase: str, initializers: Iterable[str], terminators: Iterable[str]) -> dict[str, str]:
    """`labels` with the labels of the phase, the initializers and the terminators replaced."""
    kept = {k: v for k, v in labels.items() if not k.startswith((INITIALIZER_LABEL_PREFIX, TERMINATOR_LABEL_PREFIX))}
    kept[PHASE_LABEL] = phase
    kept.update(map(initializer_label, initializers))
    kept.update(map(terminator_label, terminators))
    return kept


def set_phase(cluster: Object, now: str) -> None:
    """Updates phase, conditions, labels and finalizers of a LogicalCluster from its status, in place. `now`: metav1.Time."""
    metadata = cluster["metadata"]
    status = cluster.setdefault("status", {})
    initializers = status.get("initializers") or []
    terminators = status.get("terminators") or []
    if is_deleting(cluster):
        status["phase"] = TERMINATING if terminators else DELETING
    elif status.get("phase") == INITIALIZING:
        if initializers:
            text = f"Initializers still exist: [{' '.join(initializers)}]"
            conditions.mark_false(status, INITIALIZED, "InitializerExists", text, now, severity=conditions.INFO)
        else:
            status["phase"] = READY
            conditions.mark_true(status, INITIALIZED, now)
            _trim_owner(metadata)
    if status.get("phase") in (READY, INACTIVE):
        inactive = annotations_of(cluster).get(INACTIVE_ANNOTATION) == "true"
        status["phase"] = INACTIVE if inactive else READY
    waited_for = initializers if status.get("phase") == INITIALIZING else ()
    metadata["labels"] = set_labels(labels_of(cluster), status.get("phase", ""), waited_for, terminators)
    if not is_deleting(cluster) or not terminators:
        _set_finalizer(metadata, TERMINATORS_FINALIZER, present=bool(terminators))


def without_urls(workspace_type: str, range_name: str) -> str:
    """Why a workspace waits, with the reason `URLS_NOT_READY`."""
    return f"the status of WorkspaceType {workspace_type} does not have the URLs of range {range_name} yet"


def mirror(workspace: Object, cluster: Object, now: str) -> None:
    """Copies the state of a LogicalCluster to its Workspace, in place. `now`: metav1.Time."""
    status = workspace.setdefault("status", {})
    source = cluster.get("status") or {}
    _copy(status, "initializers", source.get("initializers"))
    deleting = is_deleting(cluster)
    _copy(status, "terminators", source.get("terminators") if deleting else None)
    phase = source.get("phase") or INITIALIZING
    if deleting:
        content = conditions.find(source, CONTENT_DELETED)
        if content is not None:
            _put(status, content)
    elif phase in (READY, INACTIVE):
        conditions.mark_true(status, INITIALIZED, now)
        phase = READY if has_no_failed_condition(status) else UNAVAILABLE
    else:
        phase = INITIALIZING
        found = conditions.find(source, INITIALIZED)
        if found is not None:
            _put(status, found)
    status["phase"] = phase
    labels = dict(labels_of(workspace))
    labels[PHASE_LABEL] = phase
    workspace["metadata"]["labels"] = labels


def has_no_failed_condition(status: Object) -> bool:
    """Whether no condition whose type begins with `Workspace` is False. One that is makes a Ready workspace Unavailable (kcp)."""
    return not any(
        c.get("type", "").startswith("Workspace") and c.get("status") == conditions.FALSE and c["type"] != CONTENT_DELETED
        for c in status.get("conditions") or ()
    )


def owner_of(cluster: Object) -> tuple[str, str] | None:
    """(cluster id, name) of the Workspace that owns a LogicalCluster; None if no Workspace does."""
    owner = (cluster.get("spec") or {}).get("owner") or {}
    if owner.get("resource") != "workspaces" or not str(owner.get("apiVersion", "")).startswith("tenancy.kcp.io/"):
        return None
    parent, name = owner.get("cluster"), owner.get("name")
    return (parent, name) if parent and name else None


def mark_deleting(obj: Object, now: str) -> None:
    """Sets the metadata that a DELETE sets on an object with finalizers, in place. `now`: metav1.Time."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = now
        metadata["deletionGracePeriodSeconds"] = 0
        if "generation" in metadata:
            metadata["generation"] += 1


def without_finalizers(metadata: Object, *dropped: str) -> list[str]:
    """The finalizers in `metadata` other than `dropped`. The metadata is not changed."""
    return [f for f in metadata.get("finalizers") or () if f not in dropped]


def _put(status: Object, condition: Object) -> None:
    """Sets a condition, with its lastTransitionTime, in the status, in place."""
    found = [c for c in status.get("conditions") or () if c.get("type") != condition["type"]]
    status["conditions"] = sorted([*found, condition], key=lambda c: (c.get("type") != "Ready", c.get("type", "")))


def _copy(status: Object, field: str, value: object) -> None:
    if value:
        status[field] = value
    else:
        status.pop(field, None)


def _set_finalizer(metadata: Object, finalizer: str, *, present: bool) -> None:
    finalizers = metadata.get("finalizers") or []
    if present and finalizer not in finalizers:
        metadata["finalizers"] = [*finalizers, finalizer]
    elif not present and finalizer in finalizers:
        metadata["finalizers"] = [f for f in finalizers if f != finalizer]


def _trim_owner(metadata: Object) -> None:
    annotations = metadata.get("annotations") or {}
    user = owner_user(annotations)
    if user:
        trimmed = orjson.dumps({"username": user["username"]}).decode()
        metadata["annotations"] = {**annotations, OWNER_ANNOTATION: trimmed}
