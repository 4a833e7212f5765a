"""No view writes the status of a LogicalCluster, but for the one word of a controller whose view it is."""

from __future__ import annotations

from tenantry.apiserver.admission.attributes import Review
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError, invalid
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.workspaces.lifecycle_entry import ReportScope, meaning

_GROUP, _KIND = "core.kcp.io", "LogicalCluster"


class LogicalClusterStatus(Plugin):
    """Part of the admission of every view, for every caller. 422, as in kcp's views; behind it comes what is asked of writes
    that do not go through a view."""

    def validate(self, review: Review) -> None:
        if review.object is None or review.old_object is None or review.definition.storage_key != LOGICAL_CLUSTERS:
            return
        before, after = _status(review.old_object), _status(review.object)
        if meaning(before) == meaning(after):
            return
        waited = review.scope.waited if isinstance(review.scope, ReportScope) else None
        if waited is None:
            error = FieldError("Forbidden", "status", "Forbidden: written by the system only")
        elif waited.is_removed(before, after):
            return
        else:
            shown = "[" + ",".join(f'"{each}"' for each in after.get(waited.field) or ()) + "]"
            text = f'Invalid value: {shown}: only removing the "{waited.identifier}" {waited.word} is supported'
            error = FieldError("Invalid", f"status.{waited.field}", text)
        raise invalid(_GROUP, _KIND, review.name, [error])


def _status(obj: Object) -> Object:
    return obj.get("status") or {}
