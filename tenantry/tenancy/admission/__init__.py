"""The admission of logical clusters: which plugins there are, and in which order.

Order (kcp's): namespaces, then the rules of workspaces and of exports, what is reserved, then who may grant what, and the quotas
last, when nothing else can refuse a write that was charged. Before all of them what is the platform's is taken off what users
sent, so that nothing works with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenantry.apiserver.admission.attributes import Chain
from tenantry.tenancy.admission.claim_escalation import ClaimEscalation
from tenantry.tenancy.admission.escalation import Escalation
from tenantry.tenancy.admission.namespace_lifecycle import NamespaceLifecycle
from tenantry.tenancy.admission.object_count import ObjectCount
from tenantry.tenancy.admission.quota import Quota
from tenantry.tenancy.admission.reserved import Reserved
from tenantry.tenancy.admission.reserved_metadata import ReservedMetadata
from tenantry.tenancy.admission.system_finalizers import SystemFinalizers
from tenantry.tenancy.admission.system_roles import SystemRoles
from tenantry.tenancy.exports.admission import plugins as export_plugins
from tenantry.tenancy.workspaces.admission.build import plugins as workspace_plugins

if TYPE_CHECKING:
    from tenantry.tenancy.authorization.chain import Chain as AuthorizationChain
    from tenantry.tenancy.host import Host


def build(host: Host, authorizer: AuthorizationChain) -> Chain:
    """The admission chain of a shard."""
    return Chain(
        [
            ReservedMetadata(),
            SystemFinalizers(host),
            NamespaceLifecycle(),
            *workspace_plugins(host),
            *export_plugins(host),
            Reserved(host),
            Escalation(authorizer),
            ClaimEscalation(authorizer),
            SystemRoles(host),
            ObjectCount(),
            Quota(),
        ]
    )
