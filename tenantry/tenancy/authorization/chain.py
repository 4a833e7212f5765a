"""The authorizer of logical clusters: kcp's chain in kcp's order, with decisions remembered until something they rest on changes.

Order (kcp): always-allowed group, always-allowed paths, then every link of required groups → content → system resources →
maximal permission policy must let through, and at last RBAC must allow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import orjson

from tenantry.apiserver.authorization import NO_OPINION, Attributes, Decision, Verdict
from tenantry.apiserver.user import MASTERS_GROUP, User
from tenantry.kube.objects import Object
from tenantry.kube.rbac.rules import Rule
from tenantry.kube.status import not_found
from tenantry.storage.keys import Key
from tenantry.tenancy.authorization.content import Content
from tenantry.tenancy.authorization.effective import effective_users
from tenantry.tenancy.authorization.links import Link
from tenantry.tenancy.authorization.maximal_permission import MaximalPermission
from tenantry.tenancy.authorization.policies import RBAC_RESOURCES, SYSTEM_ADMIN, Policies
from tenantry.tenancy.authorization.policy import Grant, allowing
from tenantry.tenancy.authorization.required_groups import RequiredGroups
from tenantry.tenancy.authorization.system_resources import SystemResources
from tenantry.tenancy.directory import WORKSPACE_RESOURCE

if TYPE_CHECKING:
    from tenantry.storage.range import Range
    from tenantry.storage.record import RecordEvent
    from tenantry.tenancy.host import Host

ALWAYS_ALLOWED_PATHS = frozenset({"/healthz", "/readyz", "/livez"})
LOGICAL_CLUSTERS = "core.kcp.io/logicalclusters"
LOGICAL_CLUSTER_NAME = "cluster"
API_BINDINGS = "apis.kcp.io/apibindings"
_DECISIONS_MAX = 200_000
"""Remembered decisions over all clusters, about 60 MB at the worst; then all are forgotten."""
_GRANTS_MAX = 50_000

_MASTERS = Decision(Verdict.ALLOW, "")
_HEALTH = Decision(Verdict.ALLOW, "")


class Chain:
    """Implements `Authorizer` and what tenancy asks beyond it: deep checks and the rules of a user."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._policies = Policies(host)
        self._policies.subscribe(self._policy_changed)
        self._providers: set[str] = set()
        self._decisions: dict[str, dict[Attributes, Decision]] = {}
        self._decisions_made = 0
        self._grants: dict[str, dict[User, list[Grant]]] = {}
        self._grants_made = 0
        self._links: tuple[Link, ...] = (
            RequiredGroups(self._logical_cluster),
            Content(self._logical_cluster, self._may_access),
            SystemResources(),
            MaximalPermission(host, self._provider_allows),
        )
        host.catalog.subscribe("apis.kcp.io/apiexports", lambda *_: self._forget(None))
        host.catalog.subscribe(LOGICAL_CLUSTERS, lambda _, cluster, *__: self._forget(cluster))
        host.follow_ranges(self._follow)

    def authorize(self, attributes: Attributes) -> Decision:
        if MASTERS_GROUP in attributes.user.groups:
            self._require_cluster(attributes)
            return _MASTERS
        if not attributes.resource and attributes.path in ALWAYS_ALLOWED_PATHS:
            return _HEALTH
        known = self._decisions.get(attributes.cluster)
        decision = known.get(attributes) if known is not None else None
        if decision is None:
            decision = self._decide(attributes)
            self._decisions_made += 1
            if self._decisions_made > _DECISIONS_MAX:
                self._decisions.clear()
                self._decisions_made = 1
            self._decisions.setdefault(attributes.cluster, {})[attributes] = decision
        return decision

    def allows_deep(self, attributes: Attributes) -> bool:
        """RBAC of `attributes.cluster` alone: no workspace access, required groups or maximal permission (kcp's deep SAR)."""
        if MASTERS_GROUP in attributes.user.groups:
            return True
        return self._rbac(attributes, effective_users(attributes.user, attributes.cluster)).allowed

    def _provider_allows(self, attributes: Attributes) -> bool:
        # Decisions elsewhere rest on this cluster's RBAC from now on.
        self._providers.add(attributes.cluster)
        return self.allows_deep(attributes)

    def rules(self, user: User, cluster: str, namespace: str) -> list[Rule]:
        """The RBAC rules (PolicyRule objects) that a user has in a namespace, or cluster-wide without one."""
        found: list[Rule] = []
        for effective in effective_users(user, cluster):
            for grant in self._grants_of(effective, cluster):
                if grant.namespace is None or grant.namespace == namespace:
                    found.extend(grant.rules.rules)
        return found

    def _decide(self, attributes: Attributes) -> Decision:
        users = effective_users(attributes.user, attributes.cluster)
        for link in self._links:
            decision = link.decide(attributes, users)
            if decision is not None:
                return decision
        return self._rbac(attributes, users)

    def _rbac(self, attributes: Attributes, users: Sequence[User]) -> Decision:
        for user in users:
            grant = allowing(self._grants_of(user, attributes.cluster), attributes)
            if grant is not None:
                return Decision(Verdict.ALLOW, grant.source)
        return NO_OPINION

    def _may_access(self, cluster: str, users: Sequence[User]) -> bool:
        wanted = Attributes(user=users[0], verb="access", cluster=cluster, path="/")
        return any(allowing(self._grants_of(user, cluster), wanted) is not None for user in users)

    def _grants_of(self, user: User, cluster: str) -> list[Grant]:
        known = self._grants.get(cluster)
        grants = known.get(user) if known is not None else None
        if grants is None:
            grants = list(self._policies.of(SYSTEM_ADMIN).grants(user))
            if cluster != SYSTEM_ADMIN:
                grants += self._policies.of(cluster).grants(user)
            self._grants_made += 1
            if self._grants_made > _GRANTS_MAX:
                self._grants.clear()
                self._grants_made = 1
            self._grants.setdefault(cluster, {})[user] = grants
        return grants

    def _require_cluster(self, attributes: Attributes) -> None:
        """Raises StatusError 404 for a tenant that is gone or never was: nobody would ever delete what a master writes there."""
        cluster = attributes.cluster
        if not cluster or cluster.startswith("system:") or not self._host.cell.owns(cluster):
            return
        key = Key(cluster, LOGICAL_CLUSTERS, "", LOGICAL_CLUSTER_NAME)
        # Its logical cluster is what makes a tenant, so that may always be asked for and made.
        if self._host.cell.range_of(cluster).get(key) is None and attributes.resource != "logicalclusters":
            raise not_found(WORKSPACE_RESOURCE, cluster)

    def _logical_cluster(self, cluster: str) -> Object | None:
        cell = self._host.cell
        if cell.owns(cluster):
            record = cell.range_of(cluster).get(Key(cluster, LOGICAL_CLUSTERS, "", LOGICAL_CLUSTER_NAME))
            return orjson.loads(record.value) if record is not None else None
        return self._host.catalog.get(LOGICAL_CLUSTERS, cluster, LOGICAL_CLUSTER_NAME)

    def _follow(self, held: Range) -> Callable[[], None]:
        stops = [held.subscribe(self._changed, resource) for resource in (*RBAC_RESOURCES, LOGICAL_CLUSTERS, API_BINDINGS)]
        # What was decided while the range was another shard's rests on copies.
        self._policies.forget_all()

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def _changed(self, events: Sequence[RecordEvent]) -> None:
        for event in events:
            if event.key.resource in RBAC_RESOURCES:
                self._policies.forget(event.key.cluster)
            else:
                self._forget(event.key.cluster)

    def _policy_changed(self, cluster: str | None) -> None:
        self._forget(cluster)
        if cluster in self._providers:
            self._decisions.clear()
            self._providers.clear()

    def _forget(self, cluster: str | None) -> None:
        if cluster is None:
            self._decisions.clear()
            self._grants.clear()
        else:
            self._decisions.pop(cluster, None)
            self._grants.pop(cluster, None)
