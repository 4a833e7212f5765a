"""The maximal permission policy of an APIExport, which limits what consumers may do: `spec.maximalPermissionPolicy.local`
(kcp)."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.authorization import Attributes, Decision, Verdict
from tenantry.kube.objects import Object
from tenantry.storage.cell import Cell
from tenantry.tenancy.authorization.effective_users import bound_users
from tenantry.tenancy.exports.export_lookup import Export, ExportLookup
from tenantry.tenancy.exports.read_bindings import bindings_of, bound_resource

AllowsDeep = Callable[[Attributes], bool]
"""Whether the RBAC of `attributes.cluster` alone allows a request (kcp's deep SubjectAccessReview)."""


def has_local_policy(export: Object) -> bool:
    return ((export.get("spec") or {}).get("maximalPermissionPolicy") or {}).get("local") is not None


def policy_allows(export: Export, attributes: Attributes, allows_deep: AllowsDeep) -> bool:
    """Whether the RBAC of the export's cluster allows this to the caller, with the prefix `apis.kcp.io:binding:` on its names."""
    asked = (attributes._replace(user=user, cluster=export.cluster) for user in bound_users(attributes.user, export.cluster))
    return any(allows_deep(question) for question in asked)


def maximal_permission(cell: Cell, exports: ExportLookup, attributes: Attributes, allows_deep: AllowsDeep) -> Decision | None:
    """DENY if the resource is bound in the cluster and the policy of its export does not allow the request; otherwise None.

    A deleted export has no policy (kcp).
    """
    if not attributes.is_resource or not cell.owns(attributes.cluster):
        return None
    for binding in bindings_of(cell.range_of(attributes.cluster), attributes.cluster):
        if bound_resource(binding, attributes.group, attributes.resource) is None:
            continue
        export = exports.bound_by(attributes.cluster, binding)
        if export is None or not has_local_policy(export.object):
            return None
        if policy_allows(export, attributes, allows_deep):
            return None
        return Decision(Verdict.DENY, f"the maximal permission policy of API export {export.name!r} does not allow it")
    return None
