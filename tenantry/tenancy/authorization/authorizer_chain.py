"""The authorizer of logical clusters: kcp's chain of authorizers, with cached decisions.

Order (kcp): the always-allowed group and paths; then the links required groups, system resources, workspace content and maximal
permission policy, each of which may refuse; then RBAC, which must allow.

The events of a commit drop the cached decisions of its cluster before the writer gets its answer. So no decision is older than an
answered write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import orjson

from tenantry.apiserver.authorization import ALLOWED, NO_OPINION, Attributes, Decision, Verdict
from tenantry.apiserver.deferred import Deferred, SharedWork, may_defer
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.user import MASTERS_GROUP, User
from tenantry.base.cache import Cache
from tenantry.base.time_slices import in_slices
from tenantry.kube.objects import Object
from tenantry.kube.rbac.cover import Rule
from tenantry.kube.status import not_found
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.cluster_paths import WORKSPACE_RESOURCE
from tenantry.placement.paths.directory import Directory
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.authorization.accessors import AccessIndex
from tenantry.tenancy.authorization.chained_authorizer import ChainedAuthorizer
from tenantry.tenancy.authorization.cluster_access import Access, ClusterAccess
from tenantry.tenancy.authorization.cluster_authorizer import MayAccess
from tenantry.tenancy.authorization.cluster_bindings import ClusterBindings, allowing
from tenantry.tenancy.authorization.effective_users import effective_users
from tenantry.tenancy.authorization.initializer_rights import initializer_grants, initializer_groups, waited_for
from tenantry.tenancy.authorization.maximal_permission import MaximalPermission
from tenantry.tenancy.authorization.policies import RBAC_RESOURCES, Policies, Update
from tenantry.tenancy.authorization.required_groups import RequiredGroups
from tenantry.tenancy.authorization.system_resources import SystemResources
from tenantry.tenancy.authorization.workspace_access import WorkspaceAccess
from tenantry.tenancy.authorization.workspace_content import Content
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.maximal_permission_policy import has_local_policy
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORTS, LOGICAL_CLUSTERS, WORKSPACES
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.well_known import SYSTEM_ADMIN

ACCESS_BYTES_MAX = 32 << 20
"""For the policies, users and decisions of all clusters."""
CLUSTER_BYTES_MAX = ACCESS_BYTES_MAX // 4
"""For the users and decisions of one cluster, which are dropped beyond that. Its policy is kept, however large: the limits of
the cluster bound it, and it takes too long to be compiled for each request."""
BINDINGS_AT_ONCE = 200
"""The grants of a user with more bindings than that are collected in slices."""


class AuthorizerChain:
    """Implements `ClusterAuthorizer`, and the questions of the escalation check (`rules`, `role_rules`)."""

    def __init__(
        self, *, cell: Cell, catalog: Catalog, directory: Directory, local_ranges: LocalRanges, exports: ExportLookup
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._directory = directory
        self._policies = Policies(cell=cell, catalog=catalog)
        self._policies.subscribe(self._policy_changed)
        self._clusters: Cache[str, ClusterAccess] = Cache(
            "access", bytes_max=ACCESS_BYTES_MAX, entry_bytes_max=CLUSTER_BYTES_MAX, keeps_large=True
        )
        self._epoch = 0
        """Incremented by a change that invalidates the decisions of all clusters."""
        self._makers = SharedWork()
        self._making: dict[str, ClusterBindings] = {}
        """Cluster → policy that is being compiled, unless a change has invalidated it."""
        self._found: tuple[ClusterAccess, User, Access] | None = None
        """The access that was collected in slices for the next request: a user with very long names is not cached."""
        self._with_policy: set[tuple[str, str]] = set()
        self._by_name = False
        self._depends_on: dict[str, object] = {}
        self._maximal_permission = MaximalPermission(cell, exports, self._policy_allows)
        self._links: tuple[ChainedAuthorizer, ...] = (
            RequiredGroups(self._logical_cluster),
            # Before `WorkspaceContent`, which allows controllers of workspace types at once.
            SystemResources(),
            Content(self._logical_cluster),
            self._maximal_permission,
        )
        self._workspace_access = WorkspaceAccess(self._logical_cluster, cell=cell, catalog=catalog, directory=directory)
        self._access_index = AccessIndex(
            cell=cell, catalog=catalog, directory=directory, policies=self._policies, workspace_access=self._workspace_access
        )
        self._catalog.subscribe(API_EXPORTS, self._export_changed)
        self._catalog.subscribe(LOGICAL_CLUSTERS, lambda _, cluster, *__: self._logical_cluster_changed(cluster))
        self._catalog.subscribe(WORKSPACES, self._workspace_changed)
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
        """Whether RBAC of `attributes.cluster` alone allows it: no access, required groups or maximal permissions (kcp's deep
        SAR)."""
        if MASTERS_GROUP in attributes.user.groups:
            return True
        return allowing(self._access_of(attributes.user, attributes.cluster).grants, attributes) is not None

    def may_access(self, user: User, cluster: str, *, owner: str = "") -> bool:
        """Whether a user may access a logical cluster (id) of any shard. `owner`: the user name of the owner in its Workspace;
        for clusters on other shards it is not known otherwise."""
        return MASTERS_GROUP in user.groups or self._workspace_access.allows(user, cluster, owner, self._access_of(user, cluster))

    def accessible(self, user: User) -> MayAccess:
        """As `may_access`, for the questions of one user about many clusters."""
        if MASTERS_GROUP in user.groups:
            return lambda cluster, owner: True
        return self._access_index.of(user, lambda cluster, owner: self.may_access(user, cluster, owner=owner))

    def accessible_at(self, user: User, parent: str, version: int) -> MayAccess | None:
        """As `accessible`, for the workspaces under a parent (id) of this shard, at a version of its range. None: nothing has
        changed since. Raises TooOld; so do the answers, where it is not known who had access."""
        if MASTERS_GROUP in user.groups:
            return None
        return self._access_index.at(user, lambda cluster, owner: self.may_access(user, cluster, owner=owner), parent, version)

    def is_privileged(self, user: User) -> bool:
        """Whether a user may access all logical clusters: system:masters, and by the RBAC of system:admin."""
        return MASTERS_GROUP in user.groups or self._access_of(user, SYSTEM_ADMIN).may_access

    def rules(self, user: User, cluster: str, namespace: str) -> list[Rule]:
        """The RBAC rules (PolicyRules) of a user in a namespace, or cluster-wide if `namespace` is empty. The rules of a role
        come once, however many bindings give it."""
        grants = self._access_of(user, cluster).grants
        roles = dict.fromkeys(grant.rules for grant in grants if grant.namespace in (None, namespace))
        return [rule for role in roles for rule in role.rules]

    def role_rules(self, cluster: str, namespace: str, name: str) -> Sequence[Rule] | None:
        """The rules of a Role or, if `namespace` is empty, of a ClusterRole (also of system:admin); None if it does not exist."""
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
        """A deep check in the cluster of an export, for a decision in the cluster `asking`, which then depends on that
        cluster."""
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
            # Not cached: it depends on the workspace type, which is in another cluster.
            return Access(access.users, (*access.grants, *initializer_grants(self._catalog, groups)))
        return access

    async def _find_access(self, user: User, cluster: str) -> None:
        """Does what `_access_of` does, in slices. If RBAC changes meanwhile, the result is dropped."""
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
        """An access with the grants of system:admin, which apply in every cluster."""
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

    def _reset(self, cluster: str, policy: ClusterBindings) -> ClusterAccess:
        """Caches the policy of a cluster, without users and decisions."""
        known = ClusterAccess(policy, self._epoch)
        self._clusters.put(cluster, known, policy.bytes)
        return known

    async def _make_policy(self, cluster: str) -> None:
        """Compiles a large policy in slices. If it becomes invalid meanwhile, it is dropped."""
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
        """Raises StatusError 404 if the logical cluster does not exist: what system:masters write there would never
        be deleted."""
        cluster = attributes.cluster
        if not cluster or cluster.startswith("system:"):
            return
        range_ = self._cell.owned(cluster)
        # The LogicalCluster itself may be read and created.
        if range_ is None or attributes.resource == "logicalclusters":
            return
        if range_.get(Key(cluster, LOGICAL_CLUSTERS, "", NAME)) is None:
            raise not_found(WORKSPACE_RESOURCE, cluster)

    def _logical_cluster(self, cluster: str) -> Object | None:
        cell = self._cell
        if cell.owns(cluster):
            record = cell.range_of(cluster).get(Key(cluster, LOGICAL_CLUSTERS, "", NAME))
            return orjson.loads(record.value) if record is not None else None
        return self._catalog.get(LOGICAL_CLUSTERS, cluster, NAME)

    def _follow(self, range_: Range) -> Callable[[], None]:
        stops = [range_.subscribe(self._changed, resource) for resource in (*RBAC_RESOURCES, LOGICAL_CLUSTERS, API_BINDINGS)]
        # Earlier decisions were made from copies.
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
            elif event.key.resource == LOGICAL_CLUSTERS:
                self._logical_cluster_changed(event.key.cluster)
            else:
                self._forget(event.key.cluster)

    def _logical_cluster_changed(self, cluster: str) -> None:
        self._forget(cluster)
        self._access_index.changed(cluster)

    def _workspace_changed(self, _: str, parent: str, name: str, workspace: Object | None) -> None:
        """The path index has the phases of clusters on other shards, and says whether they exist. The directory, which is started
        later, is called after this: it still has the cluster of a Workspace that is deleted."""
        former, cluster = self._directory.child_of(parent, name), workspace["cluster"] if workspace is not None else None
        copy = self._catalog.entry(WORKSPACES, parent, name)
        for each in {former, cluster}:
            if each is not None and not self._cell.owns(each):
                self._access_index.changed(each, revision=copy.revision if copy is not None else 0)

    def _export_changed(self, _: str, cluster: str, name: str, export: Object | None) -> None:
        """Decisions in consumers' clusters depend on whether the export has a policy. What the policy allows is RBAC."""
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
        """Drops the decisions in a cluster (None: in all clusters), because something other than its RBAC changed."""
        if cluster is None:
            self._epoch += 1
            return
        known = self._clusters.get(cluster)
        if known is not None:
            self._reset(cluster, known.policy)
