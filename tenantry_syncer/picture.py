"""What a syncer sees of an object, and what of its writes is stored. Pure functions."""

from __future__ import annotations

from datetime import datetime

from tenantry_syncer.names import (
    CLUSTER_ANNOTATION,
    DELETION_PREFIX,
    HELD_LABEL_PREFIX,
    SPEC_DIFF_ERROR_PREFIX,
    SPEC_DIFF_PREFIX,
    STATE_LABEL_PREFIX,
    SYNC,
    Object,
    Target,
    is_of_workload,
)
from tenantry_syncer.spec_diff import BadPatch, patched

_ERROR_MAX = 300


class Refused(Exception):
    """A syncer may not write what it sent. `field`: the first one that it may not change."""

    def __init__(self, field: str) -> None:
        super().__init__(
            f"{field}: Forbidden: a syncer may change the status, its finalizer, and labels and annotations of its key"
        )
        self.field = field


def shown(obj: Object, target: Target, cluster: str, *, accepted: bool = True) -> Object:
    """The object of a logical cluster as the syncer of a SyncTarget sees it. `obj` and its metadata may be changed, not what is
    in them. `accepted`: whether the SyncTarget takes objects of the cluster.

    It is being deleted for this syncer if an annotation says so, or if it is not assigned or accepted any more. A patch of the
    spec that cannot be applied is not applied; an annotation of the picture says why.
    """
    annotations = obj["metadata"].get("annotations") or {}
    diff = annotations.get(SPEC_DIFF_PREFIX + target.key)
    if diff and "spec" in obj:
        try:
            spec = patched(obj["spec"], diff)
            if not isinstance(spec, dict):
                raise BadPatch("the spec is not an object any more")
            obj["spec"] = spec
        except BadPatch as error:
            obj["metadata"]["annotations"] = {**annotations, SPEC_DIFF_ERROR_PREFIX + target.key: str(error)[:_ERROR_MAX]}
    metadata = obj["metadata"]
    since = annotations.get(DELETION_PREFIX + target.key)
    labels = metadata.get("labels") or {}
    assigned = accepted and any(labels.get(name) == SYNC for name in target.state_labels(cluster))
    if (since or not assigned) and not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = since if since and _is_time(since) else metadata.get("creationTimestamp")
    return obj


def stored(sent: Object, old: Object, target: Target, cluster: str) -> Object:
    """The object to store when a syncer sends one for `old`, an object of a logical cluster. Raises Refused.

    A syncer that gives up an object by removing its finalizer also loses it: the label that assigns it, and the annotations of
    its key, go in the same write.
    """
    picture = shown(_twin(old), target, cluster)
    _check_unchanged(sent, picture, target)
    made = _twin(old)
    if "status" in sent or "status" in old:
        made["status"] = sent.get("status")
        if made["status"] is None:
            del made["status"]
    metadata, wanted = made["metadata"], sent["metadata"]
    before, after = metadata.get("finalizers") or [], wanted.get("finalizers") or []
    for field in ("labels", "annotations"):
        own = {name: value for name, value in (wanted.get(field) or {}).items() if _is_own(name, target)}
        others = {name: value for name, value in (metadata.get(field) or {}).items() if not _is_own(name, target)}
        _set(metadata, field, {**others, **own})
    if target.finalizer in before and target.finalizer not in after:
        _set(metadata, "finalizers", [name for name in before if name != target.finalizer])
        assigning = (target.held_label, *target.state_labels(cluster))
        _set(metadata, "labels", {k: v for k, v in (metadata.get("labels") or {}).items() if k not in assigning})
        gone = {SPEC_DIFF_PREFIX + target.key, DELETION_PREFIX + target.key}
        _set(metadata, "annotations", {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in gone})
    elif target.finalizer in after and target.finalizer not in before:
        _set(metadata, "finalizers", [*before, target.finalizer])
        metadata["labels"] = {**(metadata.get("labels") or {}), target.held_label: ""}
    # The version that the client sent is the one that the write is compared with.
    for field in ("resourceVersion", "managedFields"):
        if field in wanted:
            metadata[field] = wanted[field]
    return made


def _twin(obj: Object) -> Object:
    """A copy of an object and its metadata, whose other values are shared: writes are made on the event loop."""
    return {**obj, "metadata": {**obj["metadata"]}}


def _check_unchanged(sent: Object, picture: Object, target: Target) -> None:
    for field in {*sent, *picture} - {"metadata", "status"}:
        if sent.get(field) != picture.get(field):
            raise Refused(field)
    one, other = sent["metadata"], picture["metadata"]
    for field in {*one, *other} - _SERVERS - {"labels", "annotations", "finalizers"}:
        if one.get(field) != other.get(field):
            raise Refused(f"metadata.{field}")
    for field in ("labels", "annotations"):
        values, olds = one.get(field) or {}, other.get(field) or {}
        for name in {*values, *olds}:
            if values.get(name) != olds.get(name) and name != CLUSTER_ANNOTATION and not _is_own(name, target):
                raise Refused(f"metadata.{field}[{name}]")
    finalizers = [[name for name in each.get("finalizers") or () if name != target.finalizer] for each in (one, other)]
    if finalizers[0] != finalizers[1]:
        raise Refused("metadata.finalizers")


_SERVERS = frozenset(
    {
        *("name", "namespace", "uid", "resourceVersion", "generation", "managedFields", "selfLink"),
        *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
    }
)
"""The server itself keeps these, or refuses the write."""
_PROTECTED = (HELD_LABEL_PREFIX, SPEC_DIFF_PREFIX, SPEC_DIFF_ERROR_PREFIX, DELETION_PREFIX, STATE_LABEL_PREFIX)


def _is_own(name: str, target: Target) -> bool:
    """Whether a label or annotation is the syncer's: of the workload API and of its key, and not one that tells it what to do."""
    return is_of_workload(name) and name.endswith("/" + target.key) and not name.startswith(_PROTECTED)


def _set(metadata: Object, field: str, value: object) -> None:
    if value:
        metadata[field] = value
    else:
        metadata.pop(field, None)


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
