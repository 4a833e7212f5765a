"""Kubernetes' escalation check: users grant only permissions that they have, unless they have the verbs `escalate` or `bind`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.user import MASTERS_GROUP, User
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.rbac.aggregation import is_aggregated
from tenantry.kube.rbac.cover import Rule, TooComplex, rules_text, uncovered
from tenantry.kube.status import forbidden, not_found
from tenantry.tenancy.authorization.policies import RBAC_GROUP

_EVERYTHING: Sequence[Rule] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)
_COLLECTED_METADATA = frozenset({"ownerReferences", "finalizers", "managedFields", "resourceVersion"})
"""Metadata that a garbage collector may change in roles with more permissions than its own."""


class RuleLookup(Protocol):
    """The part of the authorizer that the check uses."""

    def authorize(self, attributes: Attributes) -> Decision: ...

    def rules(self, user: User, cluster: str, namespace: str) -> Sequence[Rule]:
        """The rules of a user in a namespace, or in the whole cluster if `namespace` is empty."""
        ...

    def role_rules(self, cluster: str, namespace: str, name: str) -> Sequence[Rule] | None:
        """The rules of a Role or, if `namespace` is empty, of a ClusterRole; None if it does not exist."""
        ...


class EscalationAdmission(Plugin):
    groups = (RBAC_GROUP,)

    def __init__(self, rules: RuleLookup) -> None:
        self._rules = rules

    def validate(self, review: Review) -> None:
        obj = review.object
        if review.definition.group != RBAC_GROUP or review.operation not in (CREATE, UPDATE) or obj is None:
            return
        if MASTERS_GROUP in review.user.groups or (review.old_object is not None and _same(obj, review.old_object)):
            return
        if review.definition.plural in ("roles", "clusterroles"):
            self._check_role(review, obj)
        elif review.definition.plural in ("rolebindings", "clusterrolebindings"):
            self._check_binding(review, obj)

    def _check_role(self, review: Review, role: Object) -> None:
        # As in Kubernetes, a create has no name here, so a rule with resourceNames does not match.
        if self._may(review, "escalate", review.definition.plural, review.name if review.operation == UPDATE else ""):
            return
        held = self._rules.rules(review.user, review.cluster, review.namespace)
        self._require(review, held, role.get("rules") or ())
        if is_aggregated(role) and self._uncovered(review, held, _EVERYTHING):
            text = "must have cluster-admin privileges to use the aggregationRule"
            raise forbidden(review.definition.group_resource, review.name, text)

    def _check_binding(self, review: Review, binding: Object) -> None:
        reference = binding.get("roleRef") or {}
        plural, name = ("roles" if reference.get("kind") == "Role" else "clusterroles"), reference.get("name") or ""
        if self._may(review, "bind", plural, name):
            return
        wanted = self._rules.role_rules(review.cluster, review.namespace if plural == "roles" else "", name)
        if wanted is None:
            raise not_found(GroupResource(RBAC_GROUP, plural), name)
        self._require(review, self._rules.rules(review.user, review.cluster, review.namespace), wanted)

    def _may(self, review: Review, verb: str, plural: str, name: str) -> bool:
        question = Attributes(
            user=review.user,
            verb=verb,
            cluster=review.cluster,
            group=RBAC_GROUP,
            version="*",
            resource=plural,
            namespace=review.namespace,
            name=name,
        )
        return self._rules.authorize(question).allowed

    @staticmethod
    def _uncovered(review: Review, held: Sequence[Rule], wanted: Sequence[Rule]) -> Sequence[Rule]:
        try:
            return uncovered(held, wanted)
        except TooComplex:
            text = "its rules and yours are too many to be compared; grant them in roles of fewer rules"
            raise forbidden(review.definition.group_resource, review.name, text) from None

    def _require(self, review: Review, held: Sequence[Rule], wanted: Sequence[Rule]) -> None:
        missing = self._uncovered(review, held, wanted)
        if not missing:
            return
        groups = " ".join(f'"{group}"' for group in review.user.groups)
        raise forbidden(
            review.definition.group_resource,
            review.name,
            f'user "{review.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:'
            f"\n{rules_text(missing)}",
        )


def _same(obj: Object, old: Object) -> bool:
    """Whether only `_COLLECTED_METADATA` changed."""
    return all(_without_collected(obj, key) == _without_collected(old, key) for key in {*obj, *old})


def _without_collected(obj: Object, key: str) -> object:
    value = obj.get(key)
    return {k: v for k, v in value.items() if k not in _COLLECTED_METADATA} if key == "metadata" and value else value
