"""What users hold in a logical cluster, and what was decided about it: made once, dropped when what it rests on changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.user import User
from tenantry.base.cache import ENTRY_BYTES, KEY_BYTES_MAX, size_of
from tenantry.kube.rbac.rules import CompiledRules
from tenantry.tenancy.authorization.policy import Grant, Policy, allowing

DECISIONS_MAX = 1000
"""Decisions remembered for one user in one cluster; paths and names of objects are the callers' to invent."""

_GRANT_BYTES = 300
"""Measured: a grant, its place, and its rules among those of the user."""

_ACCESS = Attributes(User(""), "access", "", path="/")


class Access:
    """`users` is everybody that the user counts as there, `grants` what they are granted together. `initializer_groups`: theirs,
    as controllers of workspace types."""

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
        """Only before anything is asked. One grant for each role and place: what many bindings give alike is looked at once."""
        self._grants.setdefault((grant.namespace, grant.rules), grant)
        if grant.rules not in self.rules:
            self.rules.add(grant.rules)
            if grant.rules.named:
                self._named = self._named or set()
                self._named |= grant.rules.named

    @property
    def own_bytes(self) -> int:
        """What it takes beside the rules of roles, and the decisions."""
        return ENTRY_BYTES + size_of((self.users, tuple(self._named or ()))) + _GRANT_BYTES * len(self.grants)

    @property
    def may_access(self) -> bool:
        """kcp's verb `access` on the path `/`."""
        if self._may_access is None:
            self._may_access = allowing(self.grants, _ACCESS) is not None
        return self._may_access

    def depends_on_name(self, resource: str) -> bool:
        """Whether any rule is limited to names of objects of the resource."""
        named = self._named
        return named is not None and (resource in named or "*" in named)

    def known(self, question: Attributes) -> Decision | None:
        """The decision made before; most do not depend on the object's name and hold for all."""
        resource = question.resource
        if not resource:
            return self._decisions.get((question.verb, question.path))
        key = (question.verb, resource, question.group, question.namespace, question.subresource)
        found = self._decisions.get(key)
        return found if found is not None else self._decisions.get((*key, question.name))

    def remember(self, question: Attributes, decision: Decision, *, by_name: bool) -> int:
        """Keeps a decision. Returns by how many bytes more (or fewer) are kept now."""
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
    """What is known of one logical cluster: its policy, and the access of those who asked, which takes `bytes`. `depends_on`: the
    `token`s of other clusters' values that decisions here rest on (maximal permission policies), by cluster; once one of these is
    no longer the cluster's, all but the policy is void; and so it is where `epoch` is over."""

    __slots__ = ("_rules", "bytes", "depends_on", "epoch", "policy", "token", "users")

    def __init__(self, policy: Policy, epoch: int = 0) -> None:
        self.policy = policy
        self.epoch = epoch
        self.users: dict[User, Access] = {}
        self.depends_on: dict[str, object] = {}
        self.token = object()
        self.bytes = 0
        self._rules: set[CompiledRules] = set()

    def add(self, user: User, access: Access) -> int:
        """Keeps an access, unless the user's names are too long. Returns by how many bytes more are kept now."""
        size = size_of(user, KEY_BYTES_MAX)
        if size > KEY_BYTES_MAX:
            return 0
        self.users[user] = access
        size += access.own_bytes
        # The rules of a role are one, whoever has them.
        more = access.rules - self._rules
        self._rules |= more
        return self.grow(size + sum(rules.bytes for rules in more))

    def grow(self, more_bytes: int) -> int:
        """What is kept takes so much more (or less)."""
        self.bytes += more_bytes
        return more_bytes
