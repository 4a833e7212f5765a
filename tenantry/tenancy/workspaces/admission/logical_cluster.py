"""Admission core.kcp.io/LogicalCluster: only the system creates, deletes and changes LogicalClusters.

Controllers of workspace types may remove their own initializer or terminator from the status, through their views.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, DELETE, Review
from tenantry.apiserver.user import LIFECYCLE_GROUPS
from tenantry.kube.objects import Object, annotations_of
from tenantry.kube.status import StatusError, forbidden
from tenantry.tenancy.reserved_keys import is_privileged
from tenantry.tenancy.types.phase_fields import INITIALIZING, READY, SCHEDULING
from tenantry.tenancy.well_known import INACTIVE_ANNOTATION
from tenantry.tenancy.workspaces.beyond_capacity_scope import BeyondCapacityScope
from tenantry.tenancy.workspaces.lifecycle_entry import LifecycleScope, without_empty_fields
from tenantry.tenancy.workspaces.scheduler import Scheduler

_FIXED = ("initializers", "terminators", "createdBy", "directlyDeletable")
_ORDER = {"": 1, SCHEDULING: 2, INITIALIZING: 3, READY: 4}


class LogicalClusterAdmission(Plugin):
    """Refuses what only the system may do, and a new LogicalCluster in a range that has as many as it may have."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def validate(self, review: Review) -> None:
        _check_user(review)
        if review.operation == CREATE and not review.dry_run and not isinstance(review.scope, BeyondCapacityScope):
            self._scheduler.admit(review.cluster)


def _check_user(review: Review) -> None:
    """Raises StatusError 403 if only the system may do this."""
    if not LIFECYCLE_GROUPS.isdisjoint(review.user.groups):
        return
    if review.operation == CREATE:
        raise _refuse(review, "LogicalCluster cannot be created by users")
    old = review.old_object or {}
    if review.operation == DELETE:
        if not (old.get("spec") or {}).get("directlyDeletable"):
            raise _refuse(review, "LogicalCluster cannot be deleted")
        return
    if review.object is not None:
        fixed = _FIXED if is_privileged(review.user, review.cluster) else (*_FIXED, "owner")
        why = _change_error(review.object, old, fixed) or _status_error(review, review.object, old)
        if why:
            raise _refuse(review, why)


def _change_error(obj: Object, old: Object, fixed: Sequence[str]) -> str:
    spec, before = obj.get("spec") or {}, old.get("spec") or {}
    for field in fixed:
        if (spec.get(field) or None) != (before.get(field) or None):
            return f"spec.{field} is immutable"
    former = (old.get("status") or {}).get("phase") or ""
    inactive = annotations_of(obj).get(INACTIVE_ANNOTATION)
    if inactive != annotations_of(old).get(INACTIVE_ANNOTATION) and inactive == "true" and former != READY:
        return "a logical cluster can only be made inactive in phase Ready"
    return ""


def _status_error(review: Review, obj: Object, old: Object) -> str:
    status, before = obj.get("status") or {}, old.get("status") or {}
    if without_empty_fields(status) == without_empty_fields(before):
        return ""
    if isinstance(review.scope, LifecycleScope) and review.scope.lifecycle_entry.is_removed(before, status):
        return ""
    phase, former = status.get("phase") or "", before.get("phase") or ""
    if _ORDER.get(phase, 0) < _ORDER.get(former, 0):
        return f"cannot transition from {former!r} to {phase!r}"
    return "status is written by the system only"


def _refuse(review: Review, why: str) -> StatusError:
    return forbidden(review.definition.group_resource, review.name, why)
