"""What a user holds in a logical cluster, and what was decided about it: made once, dropped when what it rests on changes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.user import User
from tenantry.kube.rbac.rules import CompiledRules
from tenantry.tenancy.authorization.policy import Grant, allowing

DECISIONS_MAX = 1000
"""Decisions remembered for one user in one cluster; paths and names of objects are the callers' to invent."""

_ENTER = Attributes(User(""), "access", "", path="/")


class Access:
    """`users` is everybody that the user counts as there, `grants` what they are granted together."""

    __slots__ = ("_decisions", "_may_enter", "_named", "grants", "users")

    def __init__(self, users: Sequence[User], grants: Iterable[Grant]) -> None:
        self.users = tuple(users)
        # One grant for each role and place: what many bindings give alike is looked at once.
        once: dict[tuple[str | None, CompiledRules], Grant] = {}
        for grant in grants:
            once.setdefault((grant.namespace, grant.rules), grant)
        self.grants = tuple(once.values())
        self._named = frozenset[str]().union(*(rules.named for rules in {grant.rules for grant in self.grants}))
        self._decisions: dict[tuple[str, ...], Decision] = {}
        self._may_enter: bool | None = None

    @property
    def may_enter(self) -> bool:
        """kcp's verb `access` on the path `/`."""
        if self._may_enter is None:
            self._may_enter = allowing(self.grants, _ENTER) is not None
        return self._may_enter

    def depends_on_name(self, resource: str) -> bool:
        """Whether any rule is limited to names of objects of the resource."""
        named = self._named
        return bool(named) and (resource in named or "*" in named)

    def known(self, question: Attributes) -> Decision | None:
        """The decision made before; most do not depend on the object's name and hold for all."""
        resource = question.resource
        if not resource:
            return self._decisions.get((question.verb, question.path))
        key = (question.verb, resource, question.group, question.namespace, question.subresource)
        found = self._decisions.get(key)
        return found if found is not None else self._decisions.get((*key, question.name))

    def remember(self, question: Attributes, decision: Decision, *, by_name: bool) -> None:
        if len(self._decisions) >= DECISIONS_MAX:
            self._decisions.clear()
        key: tuple[str, ...] = (question.verb, question.path)
        if question.resource:
            key = (question.verb, question.resource, question.group, question.namespace, question.subresource)
            if by_name:
                key = (*key, question.name)
        self._decisions[key] = decision
