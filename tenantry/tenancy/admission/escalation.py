"""Nobody grants more than they hold: the escalation check of roles and the bind check of bindings (upstream's RBAC storage)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from tenantry.apiserver.admission import CREATE, UPDATE, Review
from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.user import MASTERS_GROUP, User
from tenantry.kube.objects import Object
from tenantry.kube.rbac.rules import Rule, rule_text, uncovered
from tenantry.kube.status import forbidden
from tenantry.storage.keys import Key
from tenantry.tenancy.admission.plugin import Plugin
from tenantry.tenancy.authorization.policies import CLUSTER_ROLES, RBAC_GROUP, ROLES, SYSTEM_ADMIN

Rules = Sequence[Rule]
_EVERYTHING: Rules = [
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
]


class Escalation(Plugin):
    """`allows` asks whether a user may do something; `rules_of` lists what a user holds in (cluster, namespace)."""

    def __init__(self, allows: Callable[[Attributes], bool], rules_of: Callable[[User, str, str], Rules]) -> None:
        self._allows = allows
        self._rules_of = rules_of

    def validate(self, review: Review) -> None:
        if review.definition.group != RBAC_GROUP or review.operation not in (CREATE, UPDATE) or review.object is None:
            return
        if MASTERS_GROUP in review.user.groups:
            return
        if review.definition.plural in ("roles", "clusterroles"):
            self._check_role(review, review.object)
        else:
            self._check_binding(review, review.object)

    def _check_role(self, review: Review, obj: Object) -> None:
        old = review.old_object or {}
        if (old.get("rules") or []) == (obj.get("rules") or []) and old.get("aggregationRule") == obj.get("aggregationRule"):
            return
        if self._may(review, "escalate", review.definition.plural, review.name):
            return
        if obj.get("aggregationRule") and uncovered(self._held(review), _EVERYTHING):
            raise forbidden(
                review.definition.group_resource,
                review.name,
                "must have cluster-admin privileges to use the aggregationRule",
            )
        self._require(review, obj.get("rules") or [])

    def _check_binding(self, review: Review, obj: Object) -> None:
        old = review.old_object or {}
        if old.get("subjects") == obj.get("subjects") and old.get("roleRef") == obj.get("roleRef"):
            return
        role = obj.get("roleRef") or {}
        plural = "roles" if role.get("kind") == "Role" else "clusterroles"
        if self._may(review, "bind", plural, role.get("name") or ""):
            return
        rules = self._rules_of_role(review, plural, role.get("name") or "")
        if rules is None:
            raise forbidden(
                review.definition.group_resource, review.name, f'{plural}.{RBAC_GROUP} "{role.get("name")}" not found'
            )
        self._require(review, rules)

    def _rules_of_role(self, review: Review, plural: str, name: str) -> Rules | None:
        resource = ROLES if plural == "roles" else CLUSTER_ROLES
        namespace = review.namespace if plural == "roles" else ""
        clusters = (review.cluster,) if plural == "roles" else (review.cluster, SYSTEM_ADMIN)
        for cluster in clusters:
            if not review.scope.cell.owns(cluster):
                continue
            record = review.scope.cell.range_of(cluster).get(Key(cluster, resource, namespace, name))
            if record is not None:
                return orjson.loads(record.value).get("rules") or []
        return None

    def _may(self, review: Review, verb: str, plural: str, name: str) -> bool:
        return self._allows(
            Attributes(
                user=review.user,
                verb=verb,
                cluster=review.cluster,
                group=RBAC_GROUP,
                version="*",
                resource=plural,
                namespace=review.namespace,
                name=name,
            )
        )

    def _held(self, review: Review) -> Rules:
        return self._rules_of(review.user, review.cluster, review.namespace)

    def _require(self, review: Review, wanted: Rules) -> None:
        missing = uncovered(self._held(review), wanted)
        if not missing:
            return
        groups = " ".join(f'"{group}"' for group in review.user.groups)
        listed = "\n".join(rule_text(rule) for rule in missing)
        raise forbidden(
            review.definition.group_resource,
            review.name,
            f'user "{review.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:'
            f"\n{listed}",
        )
