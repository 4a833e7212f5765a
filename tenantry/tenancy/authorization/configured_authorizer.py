"""The authorizer of logical clusters where the server's configuration names webhooks beside RBAC.

The first authorizer that allows or denies decides (kube-apiserver, kcp). RBAC is the whole `AuthorizerChain`. What only RBAC can
tell (who may access which workspaces, rules of roles, deep checks) is asked of it alone, as in kcp.
"""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.apiserver.authorization import NO_OPINION, Attributes, Decision, Verdict
from tenantry.apiserver.authorizers.configured_webhooks import ConfiguredWebhooks
from tenantry.apiserver.authorizers.webhook_authorizer import WebhookAuthorizer
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.user import MASTERS_GROUP, User
from tenantry.kube.rbac.cover import Rule
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer, MayAccess
from tenantry.tenancy.authorization.effective_users import effective_users

_COUNTED = {Verdict.ALLOW: "allowed", Verdict.DENY: "denied"}


class ConfiguredAuthorizer:
    """Implements `ClusterAuthorizer`."""

    rules_problem = "webhook authorizer does not support user rule resolution"
    """Why `rules` are not all that a user may do."""

    def __init__(self, rbac: ClusterAuthorizer, webhooks: ConfiguredWebhooks) -> None:
        self._rbac = rbac
        self._webhooks = webhooks

    def authorize(self, attributes: Attributes) -> Decision:
        if MASTERS_GROUP in attributes.user.groups or (not attributes.resource and attributes.path in HEALTH_PATHS):
            return self._rbac.authorize(attributes)
        reasons = []
        for authorizer in self._webhooks.order:
            if authorizer is None:
                kind, name, decision = "RBAC", "rbac", self._rbac.authorize(attributes)
            else:
                kind, name, decision = "Webhook", authorizer.name, _asked(authorizer, attributes)
            if decision.verdict is not Verdict.NO_OPINION:
                self._webhooks.metrics.decided(kind, name, _COUNTED[decision.verdict])
                return decision
            if decision.reason:
                reasons.append(decision.reason)
        return Decision(Verdict.NO_OPINION, "\n".join(reasons)) if reasons else NO_OPINION

    def allows_deep(self, attributes: Attributes) -> bool:
        return self._rbac.allows_deep(attributes)

    def may_access(self, user: User, cluster: str, *, owner: str = "") -> bool:
        return self._rbac.may_access(user, cluster, owner=owner)

    def accessible(self, user: User) -> MayAccess:
        return self._rbac.accessible(user)

    def accessible_at(self, user: User, parent: str, version: int) -> MayAccess | None:
        return self._rbac.accessible_at(user, parent, version)

    def is_privileged(self, user: User) -> bool:
        return self._rbac.is_privileged(user)

    def rules(self, user: User, cluster: str, namespace: str) -> Sequence[Rule]:
        return self._rbac.rules(user, cluster, namespace)

    def role_rules(self, cluster: str, namespace: str, name: str) -> Sequence[Rule] | None:
        return self._rbac.role_rules(cluster, namespace, name)


def _asked(authorizer: WebhookAuthorizer, attributes: Attributes) -> Decision:
    """The webhook's decision about the effective users, one by one (kcp): one that is allowed is enough."""
    decision = NO_OPINION
    for user in effective_users(attributes.user, attributes.cluster):
        found = authorizer.authorize(attributes._replace(user=user))
        if found.verdict is Verdict.ALLOW:
            return found
        if decision.verdict is Verdict.NO_OPINION:
            decision = found
    return decision
