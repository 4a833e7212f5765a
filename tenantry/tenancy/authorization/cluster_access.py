"""The grants of users in a logical cluster, and cached decisions. Dropped when something that they depend on changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.user import User
from tenantry.base.cache import ENTRY_BYTES, KEY_BYTES_MAX, size_of
from tenantry.kube.rbac.policy_rules import CompiledRules
from tenantry.tenancy.authorization.cluster_bindings import ClusterBindings, Grant, allowing

DECISIONS_MAX = 1000
"""Cached decisions for one user in one cluster, at most: callers choose paths and names of objects."""

_GRANT_BYTES = 300
"""Measured: a grant with its entries in the dictionaries."""

_ACCESS = Attributes(User(""), "access", "", path="/")


class Access:
    """The access of one user in one logical cluster.

    `users`: the effective users there (`effective_users`). `grants`: the grants of all of them. `initializer_groups`: their
    groups as controllers of workspace types.
    """

    __slots__ = ("_decisions", "_decisions_bytes", "_grants", "_may_access", "_named", "initializer_groups", "rules", "users")

    def __init__(self, users: Sequence[User], grants: Iterable[Grant] = (), initializer_groups: Sequence[str] = ()) -> None:
        self.users = tuple(users)
        self.initializer_groups = tuple(initializer_groups)
        self.rules: set[CompiledRules] = set()
        self._grants: dict[tuple[str | None, CompiledRules], Grant] = {}
        self._named: set[str] | None = None
        self._decisions: dict[tuple[str, ...], Decision] = {}
        self._decisions_bytes = 0
        self._may_access: bool | None = None
        for grant in grants:
            self.add(grant)

    @property
    def grants(self) -> Collection[Grant]:
        return self._grants.values()

    def add(self, grant: Grant) -> None:
        """Adds a grant; call it before any question. Of bindings that give the same role in the same namespace, one is kept."""
        self._grants.setdefault((grant.namespace, grant.rules), grant)
        if grant.rules not in self.rules:
            self.rules.add(grant.rules)
            if grant.rules.named:
                self._named = self._named or set()
                self._named |= grant.rules.named

    @property
    def own_bytes(self) -> int:
        """The memory that it takes, in bytes, without the rules of roles and without decisions."""
        return ENTRY_BYTES + size_of((self.users, tuple(self._named or ()))) + _GRANT_BYTES * len(self.grants)

    @property
    def may_access(self) -> bool:
        """Whether the grants give the verb `access` on the path `/` (kcp)."""
        if self._may_access is None:
            self._may_access = allowing(self.grants, _ACCESS) is not None
        return self._may_access

    def depends_on_name(self, resource: str) -> bool:
        """Whether any rule has resourceNames for the resource."""
        named = self._named
        return named is not None and (resource in named or "*" in named)

    def known(self, question: Attributes) -> Decision | None:
        """The cached decision, if any. Most decisions do not depend on the object's name, and are cached without it."""
        resource = question.resource
        if not resource:
            return self._decisions.get((question.verb, question.path))
        key = (question.verb, resource, question.group, question.namespace, question.subresource)
        found = self._decisions.get(key)
        return found if found is not None else self._decisions.get((*key, question.name))

    def remember(self, question: Attributes, decision: Decision, *, by_name: bool) -> int:
        """Caches a decision. Returns by how many bytes the cached decisions grew (negative: shrank)."""
        key: tuple[str, ...] = (question.verb, question.path)
        if question.resource:
            key = (question.verb, question.resource, question.group, question.namespace, question.subresource)
            if by_name:
                key = (*key, question.name)
        size = size_of(key, KEY_BYTES_MAX)
        if size > KEY_BYTES_MAX:
            return 0
        before = self._decisions_bytes
        if len(self._decisions) >= DECISIONS_MAX:
            self._decisions.clear()
            self._decisions_bytes = 0
        self._decisions[key] = decision
        self._decisions_bytes += size + ENTRY_BYTES + size_of(decision)
        return self._decisions_bytes - before


class ClusterAccess:
    """The policy of one logical cluster, and the cached access of its users, which takes `bytes`.

    `depends_on`: cluster → the `token` that its ClusterAccess had when a decision here used its RBAC (maximal permission
    policies). If such a cluster has another token now, or if `epoch` is not the current one, everything but the policy is
    invalid.
    """

    __slots__ = ("_rules", "bytes", "depends_on", "epoch", "policy", "token", "users")

    def __init__(self, policy: ClusterBindings, epoch: int = 0) -> None:
        self.policy = policy
        self.epoch = epoch
        self.users: dict[User, Access] = {}
        self.depends_on: dict[str, object] = {}
        self.token = object()
        self.bytes = 0
        self._rules: set[CompiledRules] = set()

    def add(self, user: User, access: Access) -> int:
        """Caches the access of a user, unless the user's names are too long. Returns by how many bytes the cache grew."""
        size = size_of(user, KEY_BYTES_MAX)
        if size > KEY_BYTES_MAX:
            return 0
        self.users[user] = access
        size += access.own_bytes
        # Users share the rules of a role.
        more = access.rules - self._rules
        self._rules |= more
        return self.grow(size + sum(rules.bytes for rules in more))

    def grow(self, more_bytes: int) -> int:
        """Adds to the size in bytes, and returns the same number."""
        self.bytes += more_bytes
        return more_bytes
