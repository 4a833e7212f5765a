"""The authorizer of logical clusters: kcp's chain in kcp's order, with decisions remembered until something they rest on changes.

Order (kcp): always-allowed group, always-allowed paths, then every link of required groups → system resources → content →
maximal permission policy must let through, and at last RBAC must allow.

What is remembered of a cluster is dropped by the events of a commit, which are delivered before its writer is answered: nobody
who was told that a write was done meets a decision from before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import orjson

from tenantry.apiserver.authorization import ALLOWED, NO_OPINION, Attributes, Decision, Verdict
from tenantry.apiserver.deferred import Deferred, Once, may_defer
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.user import MASTERS_GROUP, User
from tenantry.base.cache import Cache
from tenantry.base.slices import in_slices
from tenantry.kube.objects import Object
from tenantry.kube.rbac.cover import Rule
from tenantry.kube.status import not_found
from tenantry.placement.catalog import Catalog
from tenantry.placement.directory import Directory
from tenantry.placement.paths import WORKSPACE_RESOURCE
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.authorization.cluster_access import Access, ClusterAccess
from tenantry.tenancy.authorization.effective_users import effective_users
from tenantry.tenancy.authorization.initializer_rights import initializer_grants, initializer_groups, waited_for
from tenantry.tenancy.authorization.links import Link
from tenantry.tenancy.authorization.maximal_permission import MaximalPermission
from tenantry.tenancy.authorization.policies import RBAC_RESOURCES, Policies, Update
from tenantry.tenancy.authorization.policy import Policy, allowing
from tenantry.tenancy.authorization.required_groups import RequiredGroups
from tenantry.tenancy.authorization.system_resources import SystemResources
from tenantry.tenancy.authorization.workspace_access import WorkspaceAccess
from tenantry.tenancy.authorization.workspace_content import Content
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.maximal_permission_policy import has_local_policy
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORTS, LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.well_known import SYSTEM_ADMIN

ACCESS_BYTES_MAX = 32 << 20
"""For policies, users and decisions of all clusters."""
CLUSTER_BYTES_MAX = ACCESS_BYTES_MAX // 4
"""What the users of one cluster take at most, with what was decided about them, so that many of them drive out few others; beyond
that they are begun anew. Its policy stays, however large: that is bounded by what the cluster may store, and takes too long to be
made for each request."""
BINDINGS_AT_ONCE = 200
"""Whoever is named by more of them is looked up in slices."""


class AuthorizerChain:
    """Implements `Authorizer` and what tenancy asks beyond it: deep checks and the rules of a user."""

    def __init__(
        self, *, cell: Cell, catalog: Catalog, directory: Directory, local_ranges: LocalRanges, exports: ExportLookup
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._policies = Policies(cell=cell, catalog=catalog)
        self._policies.subscribe(self._policy_changed)
        self._clusters: Cache[str, ClusterAccess] = Cache(
            "access", bytes_max=ACCESS_BYTES_MAX, entry_bytes_max=CLUSTER_BYTES_MAX, keeps_large=True
        )
        self._epoch = 0
        """Counts what voids the decisions of all clusters."""
        self._makers = Once()
        self._making: dict[str, Policy] = {}
        """Of the policies that are being compiled, those that no change has voided."""
        self._found: tuple[ClusterAccess, User, Access] | None = None
        """Of the request that goes on now; who has very long names is not remembered longer."""
        self._with_policy: set[tuple[str, str]] = set()
        self._by_name = False
        self._depends_on: dict[str, object] = {}
        self._maximal_permission = MaximalPermission(cell, exports, self._policy_allows)
        self._links: tuple[Link, ...] = (
            RequiredGroups(self._logical_cluster),
            # Before the link that lets the controllers of workspace types through, past all others.
            SystemResources(),
            Content(self._logical_cluster),
            self._maximal_permission,
        )
        self._workspace_access = WorkspaceAccess(self._logical_cluster, cell=cell, catalog=catalog, directory=directory)
        self._catalog.subscribe(API_EXPORTS, self._export_changed)
        self._catalog.subscribe(LOGICAL_CLUSTERS, lambda _, cluster, *__: self._forget(cluster))
        local_ranges.follow(self._follow)

    def authorize(self, attributes: Attributes) -> Decision:
        if MASTERS_GROUP in attributes.user.groups:
            self._require_cluster(attributes)
            return ALLOWED
        if not attributes.resource and attributes.path in HEALTH_PATHS:
            return ALLOWED
        access = self._access_of(attributes.user, attributes.cluster)
        decision = access.known(attributes)
        if decision is None:
            self._by_name = access.depends_on_name(attributes.resource)
            self._depends_on = {}
            decision = self._decide(attributes, access)
            self._remember(access, attributes, decision)
        return decision

    def allows_deep(self, attributes: Attributes) -> bool:
        """RBAC of `attributes.cluster` alone: no workspace access, required groups or maximal permission (kcp's deep SAR)."""
        if MASTERS_GROUP in attributes.user.groups:
            return True
        return allowing(self._access_of(attributes.user, attributes.cluster).grants, attributes) is not None

    def may_access(self, user: User, cluster: str, *, owner: str = "") -> bool:
        """Whether a user may enter a logical cluster, on whichever shard that is. `owner`: the name of the user who owns it, as
        its Workspace says; of clusters on other shards that is not known here otherwise."""
        return MASTERS_GROUP in user.groups or self._workspace_access.allows(user, cluster, owner, self._access_of(user, cluster))

    def is_privileged(self, user: User) -> bool:
        """Whether a user may enter any logical cluster there is, by the RBAC that holds in all of them."""
        return MASTERS_GROUP in user.groups or self._access_of(user, SYSTEM_ADMIN).may_access

    def rules(self, user: User, cluster: str, namespace: str) -> list[Rule]:
        """The RBAC rules (PolicyRule objects) that a user has in a namespace, or cluster-wide without one. Those of a role come
        once, by however many bindings: bindings times rules would be more than what either is."""
        grants = self._access_of(user, cluster).grants
        roles = dict.fromkeys(grant.rules for grant in grants if grant.namespace in (None, namespace))
        return [rule for role in roles for rule in role.rules]

    def role_rules(self, cluster: str, namespace: str, name: str) -> Sequence[Rule] | None:
        """The rules of a Role or, without a namespace, of a ClusterRole, system:admin's included; None where there is none."""
        found = self._policies.role(cluster, namespace, name)
        return found.rules if found is not None else None

    def _decide(self, attributes: Attributes, access: Access) -> Decision:
        for link in self._links:
            decision = link.decide(attributes, access)
            if decision is not None:
                return decision
        grant = allowing(access.grants, attributes)
        return Decision(Verdict.ALLOW, grant.source) if grant is not None else NO_OPINION

    def _policy_allows(self, asking: str, question: Attributes) -> bool:
        """A deep check in the cluster of an export, for a decision in the cluster `asking`, which rests on it from then on."""
        self._depends_on[question.cluster] = self._of_cluster(question.cluster).token
        if self._access_of(question.user, question.cluster).depends_on_name(question.resource):
            self._by_name = True
        return self.allows_deep(question)

    def _remember(self, access: Access, question: Attributes, decision: Decision) -> None:
        known = self._clusters.get(question.cluster)
        if known is None or known.users.get(question.user) is not access:
            return
        known.depends_on.update(self._depends_on)
        self._grow(question.cluster, known, known.grow(access.remember(question, decision, by_name=self._by_name)))

    def _grow(self, cluster: str, known: ClusterAccess, more_bytes: int) -> None:
        if known.bytes > CLUSTER_BYTES_MAX:
            self._reset(cluster, known.policy)
        else:
            self._clusters.grow(cluster, more_bytes)

    def _access_of(self, user: User, cluster: str) -> Access:
        known = self._of_cluster(cluster)
        found, self._found = self._found, None
        access = known.users.get(user)
        if access is None and found is not None and found[0] is known and found[1] == user:
            access = found[2]
        if access is None:
            users = effective_users(user, cluster)
            if may_defer() and known.policy.count(users) > BINDINGS_AT_ONCE:
                raise Deferred(partial(self._find_access, user, cluster))
            access = self._new_access(users, cluster)
            for grant in known.policy.grants(users):
                access.add(grant)
            self._grow(cluster, known, known.add(user, access))
        if access.initializer_groups and (groups := waited_for(self._logical_cluster(cluster), access.initializer_groups)):
            # Not remembered: it rests on the type, which is another cluster's.
            return Access(access.users, (*access.grants, *initializer_grants(self._catalog, groups)))
        return access

    async def _find_access(self, user: User, cluster: str) -> None:
        """What `_access_of` does, in slices; to no effect where the RBAC changes meanwhile."""
        known = self._clusters.get(cluster)
        if known is None:
            return
        users = effective_users(user, cluster)
        access = self._new_access(users, cluster)
        async for grant in in_slices(known.policy.each(users)):
            if grant is not None:
                access.add(grant)
        if self._clusters.get(cluster) is known:
            self._found = (known, user, access)
            self._clusters.grow(cluster, known.add(user, access))

    def _new_access(self, users: Sequence[User], cluster: str) -> Access:
        """With what system:admin grants in every cluster."""
        everywhere = self._policies.everywhere.grants(users) if cluster != SYSTEM_ADMIN else ()
        return Access(users, everywhere, initializer_groups(users))

    def _of_cluster(self, cluster: str) -> ClusterAccess:
        known = self._clusters.get(cluster)
        if known is None:
            if may_defer() and self._policies.is_large(cluster):
                raise Deferred(partial(self._makers.run, cluster, partial(self._make_policy, cluster)))
            return self._reset(cluster, self._policies.compile(cluster))
        if known.epoch != self._epoch or (known.depends_on and not self._is_current(known)):
            return self._reset(cluster, known.policy)
        return known

    def _reset(self, cluster: str, policy: Policy) -> ClusterAccess:
        """Begins anew, with nobody."""
        known = ClusterAccess(policy, self._epoch)
        self._clusters.put(cluster, known, policy.bytes)
        return known

    async def _make_policy(self, cluster: str) -> None:
        """Compiles a large policy in slices; to no effect where it becomes void meanwhile."""
        policy = self._making[cluster] = self._policies.empty(cluster)
        try:
            await self._policies.fill(policy, cluster)
            if self._making.get(cluster) is policy:
                self._reset(cluster, policy)
        finally:
            if self._making.get(cluster) is policy:
                del self._making[cluster]

    def _is_current(self, known: ClusterAccess) -> bool:
        for cluster, token in known.depends_on.items():
            other = self._clusters.get(cluster)
            if other is None or other.token is not token or other.epoch != self._epoch:
                return False
        return True

    def _require_cluster(self, attributes: Attributes) -> None:
        """Raises StatusError 404 for a tenant that is gone or never was: nobody would ever delete what a master writes there."""
        cluster = attributes.cluster
        if not cluster or cluster.startswith("system:") or not self._cell.owns(cluster):
            return
        key = Key(cluster, LOGICAL_CLUSTERS, "", NAME)
        # Its logical cluster is what makes a tenant, so that may always be asked for and made.
        if self._cell.range_of(cluster).get(key) is None and attributes.resource != "logicalclusters":
            raise not_found(WORKSPACE_RESOURCE, cluster)

    def _logical_cluster(self, cluster: str) -> Object | None:
        cell = self._cell
        if cell.owns(cluster):
            record = cell.range_of(cluster).get(Key(cluster, LOGICAL_CLUSTERS, "", NAME))
            return orjson.loads(record.value) if record is not None else None
        return self._catalog.get(LOGICAL_CLUSTERS, cluster, NAME)

    def _follow(self, range_: Range) -> Callable[[], None]:
        stops = [range_.subscribe(self._changed, resource) for resource in (*RBAC_RESOURCES, LOGICAL_CLUSTERS, API_BINDINGS)]
        # What was decided while the range was another shard's rests on copies.
        self._policies.forget_all()

        def stop() -> None:
            for each in stops:
                each()
            self._policies.forget_all()

        return stop

    def _changed(self, events: Sequence[RecordEvent]) -> None:
        for event in events:
            if event.key.resource in RBAC_RESOURCES:
                self._policies.changed(event)
            else:
                self._forget(event.key.cluster)

    def _export_changed(self, _: str, cluster: str, name: str, export: Object | None) -> None:
        """Decisions of whoever bound an export rest on its having a policy; what the policy says is RBAC's."""
        place = (cluster, name)
        has_policy = export is not None and has_local_policy(export)
        if has_policy != (place in self._with_policy):
            (self._with_policy.add if has_policy else self._with_policy.discard)(place)
            self._forget(None)

    def _policy_changed(self, cluster: str | None, update: Update | None) -> None:
        if cluster is None:
            self._clusters.clear()
            self._making.clear()
            return
        known, making = self._clusters.pop(cluster), self._making.pop(cluster, None)
        if update is None:
            return
        if making is not None:
            update(making)
            self._making[cluster] = making
        if known is not None:
            update(known.policy)
            self._reset(cluster, known.policy)

    def _forget(self, cluster: str | None) -> None:
        """What was decided in a cluster (None: in all of them) rests on something other than its RBAC."""
        if cluster is None:
            self._epoch += 1
            return
        known = self._clusters.get(cluster)
        if known is not None:
            self._reset(cluster, known.policy)
