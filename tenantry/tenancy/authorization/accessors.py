"""Who may access each logical cluster, for questions of one user about many clusters.

`AuthorizerChain.may_access` keeps the grants of each user in each cluster. For the workspaces under a parent that would be an
entry for each user and workspace. An `Accessors` is kept for each cluster, for all users.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.deferred import Deferred, SharedWork, may_defer
from tenantry.apiserver.user import (
    EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP,
    LOGICAL_CLUSTER_ADMIN_GROUP,
    SCOPES_EXTRA,
    WARRANT_EXTRA,
    User,
    home_of,
    is_service_account,
)
from tenantry.base.cache import Cache
from tenantry.base.tasks import restarting
from tenantry.base.time_slices import in_slices
from tenantry.kube.objects import Object
from tenantry.kube.rbac.policy_rules import CompiledRules
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.directory import Directory
from tenantry.storage import resource_version
from tenantry.storage.cell import Cell
from tenantry.storage.range import Range, TooOld
from tenantry.tenancy.access_rules import PATH, VERB
from tenantry.tenancy.authorization.cluster_authorizer import MayAccess
from tenantry.tenancy.authorization.cluster_bindings import Subject, allowing, subjects_of
from tenantry.tenancy.authorization.effective_users import effective_users
from tenantry.tenancy.authorization.initializer_rights import initializer_groups
from tenantry.tenancy.authorization.past_accessors import PastAccessors
from tenantry.tenancy.authorization.policies import Policies
from tenantry.tenancy.authorization.required_groups import alternatives_of, satisfies
from tenantry.tenancy.authorization.workspace_access import WorkspaceAccess
from tenantry.tenancy.authorization.workspace_content import is_accessible
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS
from tenantry.tenancy.well_known import SYSTEM_ADMIN

BYTES_MAX = 32 << 20
PAST_BYTES_MAX = 4 << 20
_RESOURCES = (CLUSTER_ROLE_BINDINGS,)
"""RoleBindings give no access: `/` is no resource in a namespace."""
_SUBJECT_BYTES = 250
"""The memory of a subject without its name, measured: a tuple, a string, and their places in a set."""
_BYTES = 150
"""The same for an `Accessors` without subjects and groups."""


class Accessors(NamedTuple):
    """Who may access a cluster.

    `is_open`: False if it does not exist, or if its phase lets no user in. `subjects`: those to whom its own RBAC gives access.
    `required`: alternatives of groups, of which a user must have one; none: no group is required. `by_owner`: whether the owner
    that its Workspace names has access.
    """

    is_open: bool = False
    subjects: frozenset[Subject] = frozenset()
    required: tuple[frozenset[str], ...] = ()
    by_owner: bool = False

    @property
    def bytes(self) -> int:
        """The memory that it takes, about."""
        names = sum(_SUBJECT_BYTES + len(name) for _, name in self.subjects)
        return _BYTES + names + sum(_SUBJECT_BYTES + len(group) for groups in self.required for group in groups)


_NOBODY = Accessors()
_OWNER = Accessors(is_open=True, by_owner=True)
"""Shared by all clusters of other shards about which nothing was copied: there are as many as workspaces."""


def _gives_access(rules: CompiledRules) -> bool:
    return rules.allows_path(VERB, PATH)


class AccessIndex:
    """Accessors by cluster, compiled on demand and dropped when something that they depend on changes.

    `changed` is called with each cluster whose LogicalCluster or Workspace changed. Changes of RBAC come from `policies`.
    """

    def __init__(
        self, *, cell: Cell, catalog: Catalog, directory: Directory, policies: Policies, workspace_access: WorkspaceAccess
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._directory = directory
        self._policies = policies
        self._workspace_access = workspace_access
        self._known: Cache[str, Accessors] = Cache("accessors", bytes_max=BYTES_MAX, keeps_large=True)
        self._past: PastAccessors[Accessors] = PastAccessors(lambda each: each.bytes, bytes_max=PAST_BYTES_MAX)
        self._makers = SharedWork()
        self._compiling: dict[str, object] = {}
        self._everywhere_token = object()
        """Replaced when the RBAC of system:admin changes, which applies in every cluster."""
        self._behind: set[Range] = set()
        """Ranges whose version does not tell yet whether something is from before a change on another shard."""
        self._advancing: asyncio.Task[None] | None = None
        policies.subscribe(lambda cluster, _: self.changed(cluster))

    def changed(self, cluster: str | None, *, revision: int = 0) -> None:
        """Who may access a cluster may have changed (None: all of them). `revision`: that of its Workspace, if that changed."""
        if cluster is None:
            self._known.clear()
            self._compiling.clear()
            self._everywhere_token = object()
            self._past.forget(max((range_.version for range_ in self._cell.ranges.values()), default=0))
            return
        self._compiling.pop(cluster, None)
        known = self._known.pop(cluster)
        parent = self._directory.parent_of(cluster)
        # The Workspace of a cluster that ended may be gone in the same commit.
        range_ = self._cell.owned(parent[0] if parent is not None else cluster)
        if range_ is None:
            return
        version = range_.version
        if self._cell.owns(cluster) or revision == resource_version.revision_of(version):
            # The commit that made this change has raised the version. What was shown at an earlier one is from before it. A
            # change on another shard has no place among the versions of this range: what was shown at the present one may be
            # from before it or after it.
            version -= resource_version.BATCH_LIMIT
        else:
            self._advance_soon(range_)
        self._past.add(cluster, known, version)

    def _advance_soon(self, range_: Range) -> None:
        self._behind.add(range_)
        if self._advancing is None or self._advancing.done():
            self._advancing = restarting(self._advance, name="versions after changes of access", ends=True)

    async def _advance(self) -> None:
        """Raises versions to the revision of the last change on other shards. What is listed from then on is from after the
        change. Without this, a watch of it would get 410 until the next commit of this shard."""
        while self._behind:
            ranges, self._behind = self._behind, set()
            revision = self._catalog.revision
            # Then memory has all commits of this shard up to the revision, and no other shard writes its ranges.
            await self._cell.in_flight_applied()
            version = resource_version.end_of_revision(self._cell.store.cell, revision)
            for range_ in ranges:
                if range_.readable:
                    range_.advance(version)

    def of(self, user: User, otherwise: MayAccess) -> MayAccess:
        """Answers for a user, from now on and as it is at the time. `otherwise` answers where permissions depend on more than
        subjects."""
        return self._answers(user, otherwise, {})

    def at(self, user: User, otherwise: MayAccess, parent: str, version: int) -> MayAccess | None:
        """Answers for a user, about workspaces under `parent`, as they were at a version of its range. None: nothing has changed
        since. Raises TooOld, and so do its answers."""
        # For some users, accessors that are equal again do not tell everything: for controllers, the phase counts too.
        depends_on_more = _users_outside(user) is None
        past = {
            cluster: before
            for cluster, before in self._past.since(version).items()
            if (self._directory.parent_of(cluster) or (parent,))[0] == parent
            and (depends_on_more or before is None or before != self._known.get(cluster))
        }
        return self._answers(user, otherwise, past) if past else None

    def _answers(self, user: User, otherwise: MayAccess, past: Mapping[str, Accessors | None]) -> MayAccess:
        users = _users_outside(user)
        if users is None:
            return self._present_only(otherwise, past) if past else otherwise
        home = home_of(user)
        mine = frozenset(subject for each in users for subject in subjects_of(each))
        groups = frozenset(group for each in users for group in each.groups)
        names = frozenset(each.name for each in users if each.name)
        find, compile_ = self._known.get, self._compile
        token: object = None
        everywhere = False

        def may_access(cluster: str, owner: str) -> bool:
            nonlocal token, everywhere
            found: Accessors | None
            if past and cluster in past:
                found = past[cluster]
                if found is None or cluster == home:
                    raise TooOld(self._past.newest)
            elif cluster == home:
                return otherwise(cluster, owner)
            else:
                found = find(cluster) or compile_(cluster)
            is_open, subjects, required, by_owner = found
            if not is_open or (required and not satisfies(groups, required)):
                return False
            if not mine.isdisjoint(subjects) or (by_owner and owner in names):
                return True
            if token is not self._everywhere_token:
                token, everywhere = self._everywhere_token, self._has_access_everywhere(users)
            return everywhere

        return may_access

    def _present_only(self, otherwise: MayAccess, past: Mapping[str, Accessors | None]) -> MayAccess:
        """The present answers, for clusters in which nothing has changed."""

        def may_access(cluster: str, owner: str) -> bool:
            if cluster in past:
                raise TooOld(self._past.newest)
            return otherwise(cluster, owner)

        return may_access

    def _has_access_everywhere(self, users: Sequence[User]) -> bool:
        question = Attributes(users[0], VERB, SYSTEM_ADMIN, path=PATH)
        return allowing(self._policies.everywhere.grants(users), question) is not None

    def _compile(self, cluster: str) -> Accessors:
        if may_defer() and self._policies.is_large(cluster, _RESOURCES):
            raise Deferred(partial(self._makers.run, cluster, partial(self._compile_in_slices, cluster)))
        obj = self._accessible(cluster)
        if obj is None:
            return self._keep(cluster, _NOBODY)
        policy = self._policies.compile(cluster, _RESOURCES)
        return self._keep(cluster, self._accessors(cluster, obj, chain.from_iterable(policy.subjects(_gives_access))))

    async def _compile_in_slices(self, cluster: str) -> None:
        """Compiles a large policy. If it changes meanwhile, the result is dropped."""
        mark = self._compiling[cluster] = object()
        try:
            policy = self._policies.empty(cluster)
            await self._policies.fill(policy, cluster, _RESOURCES)
            subjects: set[Subject] = set()
            async for some in in_slices(policy.subjects(_gives_access)):
                subjects.update(some)
            if self._compiling.get(cluster) is mark:
                obj = self._accessible(cluster)
                self._keep(cluster, self._accessors(cluster, obj, subjects) if obj is not None else _NOBODY)
        finally:
            if self._compiling.get(cluster) is mark:
                del self._compiling[cluster]

    def _keep(self, cluster: str, found: Accessors) -> Accessors:
        self._known.put(cluster, found, 0 if found is _OWNER or found is _NOBODY else found.bytes)
        return found

    def _accessible(self, cluster: str) -> Object | None:
        """The LogicalCluster. None if it does not exist, or if its phase lets no user in."""
        obj = self._workspace_access.known(cluster)
        return obj if obj is not None and not cluster.startswith("system:") and is_accessible(obj) else None

    def _accessors(self, cluster: str, obj: Object, subjects: Iterable[Subject]) -> Accessors:
        who, required = frozenset(subjects), alternatives_of(obj)
        by_owner = self._workspace_access.has_first_binding(cluster)
        if by_owner and not who and not required:
            return _OWNER
        return Accessors(is_open=True, subjects=who, required=required, by_owner=by_owner)


def _users_outside(user: User) -> Sequence[User] | None:
    """The effective users of a user in every cluster but its own. None: they differ, or groups of the system count."""
    if user.extra_values(SCOPES_EXTRA) or user.extra_values(WARRANT_EXTRA) or (is_service_account(user) and not home_of(user)):
        return None
    users = effective_users(user, "")
    groups = {group for each in users for group in each.groups}
    if groups & {LOGICAL_CLUSTER_ADMIN_GROUP, EXTERNAL_LOGICAL_CLUSTER_ADMIN_GROUP} or initializer_groups(users):
        return None
    return users
