"""The types that an export may claim without an identity, because every logical cluster has them (kcp's list)."""

from __future__ import annotations

from tenantry.kube.objects import GroupResource
from tenantry.tenancy.exports.read_bindings import GROUP

_ADMISSION = "admissionregistration.k8s.io"
_RBAC = "rbac.authorization.k8s.io"

CLAIMABLE = frozenset(
    {
        *(
            GroupResource("", resource)
            for resource in ("configmaps", "events", "namespaces", "resourcequotas", "secrets", "serviceaccounts")
        ),
        *(GroupResource(_RBAC, resource) for resource in ("clusterrolebindings", "clusterroles", "rolebindings", "roles")),
        *(
            GroupResource(_ADMISSION, resource)
            for resource in (
                "mutatingadmissionpolicies",
                "mutatingadmissionpolicybindings",
                "mutatingwebhookconfigurations",
                "validatingadmissionpolicies",
                "validatingadmissionpolicybindings",
                "validatingwebhookconfigurations",
            )
        ),
        GroupResource("apiextensions.k8s.io", "customresourcedefinitions"),
        GroupResource("authentication.k8s.io", "tokenreviews"),
        GroupResource("authorization.k8s.io", "localsubjectaccessreviews"),
        GroupResource("authorization.k8s.io", "subjectaccessreviews"),
        GroupResource("certificates.k8s.io", "certificatesigningrequests"),
        GroupResource("coordination.k8s.io", "leases"),
        GroupResource("core.kcp.io", "logicalclusters"),
        GroupResource("events.k8s.io", "events"),
        *(GroupResource(GROUP, resource) for resource in ("apibindings", "apiexports", "apiresourceschemas")),
    }
)


def needs_identity(group: str, resource: str) -> bool:
    """Whether a claim on this resource needs an identity hash."""
    return group != GROUP and GroupResource(group, resource) not in CLAIMABLE
