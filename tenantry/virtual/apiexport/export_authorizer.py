"""The authorizer of the view of an export. It allows a request if three checks allow it, in this order (kcp):

A. The consumer has bound the resource, or accepted the claim on it with this verb.
B. The caller has the verb on `apiexports/content` in the provider's workspace.
C. The maximal permission policy of the export that owns a claimed type allows it.
"""

from __future__ import annotations

from typing import NamedTuple

from tenantry.apiserver.authorization import ALLOWED, Attributes, Decision, Verdict
from tenantry.kube.objects import GroupResource
from tenantry.storage.range import Range
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.exports.maximal_permission_policy import has_local_policy, policy_allows
from tenantry.tenancy.exports.read_bindings import (
    BINDING_RESOURCE,
    GROUP,
    binding_to,
    bindings_of,
    bound_resource,
)
from tenantry.virtual.apiexport.acceptance import accepts
from tenantry.virtual.apiexport.domain import Domain
from tenantry.virtual.view import READ_VERBS

ACCESS_DENIED = "access denied"
"""The only reason that a caller gets: others would reveal workspaces that it may not know (kcp)."""
DENIED = Decision(Verdict.DENY, ACCESS_DENIED)
NOT_ALLOWED = Decision(Verdict.NO_OPINION, ACCESS_DENIED)


class Content(NamedTuple):
    """The object whose subresource `content` stands for what a view shows: RBAC on it says who may use the view. `cluster`: id.
    `resource`: plural."""

    cluster: str
    group: str
    resource: str
    name: str


def content_of(export: ExportKey) -> Content:
    """That of the view of an export (cluster id, name)."""
    return Content(export[0], GROUP, "apiexports", export[1])


class ExportAuthorizer:
    """Made for each request. `export`: cluster id and name. `content`: that of the view. `cluster`: None for the wildcard.
    `domain`: None if the export is unknown."""

    def __init__(
        self,
        export: ExportKey,
        content: Content,
        domain: Domain | None,
        range_: Range,
        cluster: str | None,
        *,
        exports: ExportLookup,
        authorizer: ClusterAuthorizer,
    ) -> None:
        self._exports = exports
        self.authorizer = authorizer
        self._export_cluster, self._export_name = export
        self._content = content
        self.domain = domain
        self.range = range_
        self.cluster = cluster

    def authorize(self, attributes: Attributes) -> Decision:
        if attributes.user.is_master:
            return ALLOWED
        decision = self.consumer_decision(attributes)
        if decision is not None:
            return decision
        if not self.may_use(attributes):
            return NOT_ALLOWED
        return ALLOWED if self._policies_allow(attributes) else DENIED

    def consumer_decision(self, attributes: Attributes) -> Decision | None:
        """Check A. None: allowed so far."""
        if self.cluster is None or not attributes.is_resource:
            return None
        binding = binding_to(bindings_of(self.range, self.cluster), self._export_cluster, self._export_name)
        if binding is None:
            return DENIED
        if bound_resource(binding, attributes.group, attributes.resource) is not None:
            return None
        resource = GroupResource(attributes.group, attributes.resource)
        if self.domain is not None and accepts(self.domain, binding, resource, attributes.verb):
            return None
        if resource == BINDING_RESOURCE:
            return None if attributes.verb in READ_VERBS else NOT_ALLOWED
        return DENIED

    def may_use(self, attributes: Attributes) -> bool:
        """Check B: the verb on the content, also for discovery, by the whole authorizer chain of the provider's workspace."""
        cluster, group, resource, name = self._content
        question = Attributes(
            attributes.user,
            attributes.verb,
            cluster,
            group=group,
            version="v1alpha1",
            resource=resource,
            subresource="content",
            name=name,
        )
        return self.authorizer.authorize(question).allowed

    def _policies_allow(self, attributes: Attributes) -> bool:
        """Check C: the policy of every export with the identity of the claimed type must allow it."""
        if not attributes.is_resource or self.domain is None:
            return True
        claim = self.domain.claims.get(GroupResource(attributes.group, attributes.resource))
        identity = claim.get("identityHash") if claim is not None else ""
        if not identity:
            return True
        owners = self._exports.with_identity(identity)
        return bool(owners) and all(
            policy_allows(owner, attributes._replace(cluster=owner.cluster), self.authorizer.allows_deep)
            for owner in owners
            if has_local_policy(owner.object)
        )
