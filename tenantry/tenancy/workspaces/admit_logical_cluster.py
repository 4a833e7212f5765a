"""core.kcp.io/LogicalCluster and its deletion finalizer: users may only shorten the lists of who is waited for."""

from __future__ import annotations

from tenantry.apiserver.admission import CREATE, DELETE, Review
from tenantry.apiserver.user import (
    EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP,
    LOGICAL_CLUSTER_ADMIN_GROUP,
    MASTERS_GROUP,
    WORKSPACE_BOOTSTRAPPER_GROUP,
)
from tenantry.kube.objects import Object, annotations_of, is_deleting
from tenantry.kube.status import StatusError, forbidden
from tenantry.tenancy.types.lifecycle import INITIALIZING, READY, SCHEDULING
from tenantry.tenancy.well_known import INACTIVE_ANNOTATION
from tenantry.tenancy.workspaces.state import DELETION_FINALIZER

_EXEMPT = frozenset(
    {MASTERS_GROUP, LOGICAL_CLUSTER_ADMIN_GROUP, EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP, WORKSPACE_BOOTSTRAPPER_GROUP}
)
_ORDER = {"": 1, SCHEDULING: 2, INITIALIZING: 3, READY: 4}


def finalize_logical_cluster(review: Review) -> None:
    """Every LogicalCluster that is not being deleted bears the finalizer of its contents."""
    if review.operation == DELETE or review.object is None or review.subresource or is_deleting(review.object):
        return
    metadata = review.object.setdefault("metadata", {})
    finalizers = metadata.get("finalizers") or []
    if DELETION_FINALIZER not in finalizers:
        metadata["finalizers"] = [*finalizers, DELETION_FINALIZER]


def admit_logical_cluster(review: Review) -> None:
    """Raises StatusError 403 for what only the system may do."""
    if not _EXEMPT.isdisjoint(review.user.groups):
        return
    if review.operation == CREATE:
        raise _refuse(review, "LogicalCluster cannot be created by users")
    old = review.old_object or {}
    if review.operation == DELETE:
        if not (old.get("spec") or {}).get("directlyDeletable"):
            raise _refuse(review, "LogicalCluster cannot be deleted")
        return
    if review.object is not None:
        why = _change_error(review.object, old)
        if why:
            raise _refuse(review, why)


def _change_error(obj: Object, old: Object) -> str:
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    for field in ("initializers", "terminators", "createdBy", "owner", "directlyDeletable"):
        if (spec.get(field) or None) != (before.get(field) or None):
            return f"spec.{field} is immutable"
    status, earlier = obj.get("status") or {}, old.get("status") or {}
    phase, former = status.get("phase") or "", earlier.get("phase") or ""
    initializers, had = status.get("initializers") or [], earlier.get("initializers") or []
    if _ORDER.get(phase, 0) < _ORDER.get(former, 0):
        return f"cannot transition from {former!r} to {phase!r}"
    if former == INITIALIZING and not set(initializers) <= set(had):
        return "status.initializers must not grow"
    if former != INITIALIZING and phase != INITIALIZING and initializers != had:
        return "status.initializers is immutable after initialization"
    if phase == INITIALIZING and former != INITIALIZING and initializers != (spec.get("initializers") or []):
        return "status.initializers do not equal spec.initializers"
    if former == INITIALIZING and phase != INITIALIZING and initializers:
        return "status.initializers is not empty"
    if not set(status.get("terminators") or ()) <= set(earlier.get("terminators") or ()):
        return "status.terminators must not grow"
    inactive = annotations_of(obj).get(INACTIVE_ANNOTATION)
    if inactive != annotations_of(old).get(INACTIVE_ANNOTATION) and inactive == "true" and former != READY:
        return "a logical cluster can only be made inactive in phase Ready"
    return ""


def _refuse(review: Review, why: str) -> StatusError:
    return forbidden(review.definition.group_resource, review.name, why)
