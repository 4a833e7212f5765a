"""Admission of the status of a LogicalCluster in views: a type's controller removes its own entry, and no client changes anything
else."""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import Review
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError, invalid
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.workspaces.lifecycle_entry import LifecycleScope, without_empty_fields

_GROUP, _KIND = "core.kcp.io", "LogicalCluster"


class LogicalClusterStatusAdmission(Plugin):
    """Part of the admission of every view, for every caller. Refuses with 422, as kcp's views do. The admission of logical
    clusters follows it."""

    def validate(self, review: Review) -> None:
        if review.object is None or review.old_object is None or review.definition.storage_key != LOGICAL_CLUSTERS:
            return
        before, after = _status(review.old_object), _status(review.object)
        if without_empty_fields(before) == without_empty_fields(after):
            return
        entry = review.scope.lifecycle_entry if isinstance(review.scope, LifecycleScope) else None
        if entry is None:
            error = FieldError("Forbidden", "status", "Forbidden: written by the system only")
        elif entry.is_removed(before, after):
            return
        else:
            shown = "[" + ",".join(f'"{each}"' for each in after.get(entry.field) or ()) + "]"
            text = f'Invalid value: {shown}: only removing the "{entry.identifier}" {entry.singular} is supported'
            error = FieldError("Invalid", f"status.{entry.field}", text)
        raise invalid(_GROUP, _KIND, review.name, [error])


def _status(obj: Object) -> Object:
    return obj.get("status") or {}
