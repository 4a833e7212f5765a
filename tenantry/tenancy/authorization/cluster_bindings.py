"""The RBAC bindings of one logical cluster, indexed by subject."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.user import User, service_account_name
from tenantry.base.cache import ENTRY_BYTES
from tenantry.kube.objects import Object, name_of, namespace_of
from tenantry.kube.rbac.policy_rules import CompiledRules

Subject = tuple[str, str]
"""(`User` or `Group`, name)."""

BindingKey = tuple[str, str]
"""(namespace, name) of a binding. One without a namespace is a ClusterRoleBinding."""

_SUBJECT_BYTES = 2 * ENTRY_BYTES
"""The memory of a subject without its name, measured."""


class Binding:
    """The parts of a RoleBinding or ClusterRoleBinding that are kept. `subjects`: subject → whether its kind is
    ServiceAccount."""

    __slots__ = ("bytes", "place", "role", "role_kind", "subjects")

    def __init__(self, binding: Object) -> None:
        self.place: BindingKey = (namespace_of(binding), name_of(binding))
        role = binding.get("roleRef") or {}
        self.role_kind = str(role.get("kind") or "")
        self.role: BindingKey = (self.place[0] if self.role_kind == "Role" else "", role.get("name") or "")
        self.subjects: dict[Subject, bool] = {}
        self.bytes = ENTRY_BYTES + len("".join((*self.place, *self.role)))


class Grant(NamedTuple):
    """Rules that are granted in one namespace, or in the whole cluster (`namespace` None).

    `by`: the binding that grants them to the subject `to`, or a text if there is none. `source` is made from these on demand,
    because a binding may have a long name and many subjects.
    """

    namespace: str | None
    rules: CompiledRules
    by: Binding | str
    to: Subject | None = None

    @property
    def source(self) -> str:
        """The reason of a decision that this grant allows."""
        binding, subject = self.by, self.to
        if isinstance(binding, str) or subject is None:
            return str(binding)
        namespace, name = binding.place
        kind, place = ("RoleBinding", f"{name}/{namespace}") if namespace else ("ClusterRoleBinding", name)
        to = f'{subject[0]} "{subject[1]}"'
        if binding.subjects.get(subject):
            home, account = subject[1].rsplit(":", 2)[1:]
            to = f'ServiceAccount "{account}/{home}"'
        return f'RBAC: allowed by {kind} "{place}" of {binding.role_kind} "{binding.role[1]}" to {to}'


RoleSource = Callable[[str, str], CompiledRules | None]
"""(namespace, name) → the rules of a Role or, if the namespace is empty, of a ClusterRole; None if it does not exist."""


class ClusterBindings:
    """The bindings of one cluster. Roles are looked up on demand. A binding to a role that does not exist grants nothing
    (Kubernetes).

    `bytes`: the memory that it takes, about.
    """

    def __init__(self, rules_of: RoleSource) -> None:
        self.bytes = ENTRY_BYTES
        self._rules_of = rules_of
        self._bindings: dict[BindingKey, Binding] = {}
        self._by_subject: dict[Subject, dict[BindingKey, Binding]] = {}

    def put(self, binding: Object) -> None:
        """Adds or replaces a binding."""
        for _ in self.putting(binding):
            pass

    def putting(self, binding: Object) -> Iterator[None]:
        """Does the same, and yields after each subject. Ends early if the binding is replaced or removed meanwhile."""
        bound = Binding(binding)
        self.remove(*bound.place)
        self._bindings[bound.place] = bound
        self.bytes += bound.bytes
        for subject in binding.get("subjects") or ():
            if self._bindings.get(bound.place) is not bound:
                return
            key = _subject(subject, bound.place[0])
            if key is not None and key not in bound.subjects:
                bound.subjects[key] = subject.get("kind") == "ServiceAccount"
                self._by_subject.setdefault(key, {})[bound.place] = bound
                size = _SUBJECT_BYTES + len(key[1])
                bound.bytes += size
                self.bytes += size
            yield

    def remove(self, namespace: str, name: str) -> None:
        """Removes a binding, if it is there."""
        bound = self._bindings.pop((namespace, name), None)
        if bound is None:
            return
        self.bytes -= bound.bytes
        for subject in bound.subjects:
            places = self._by_subject.get(subject)
            if places is not None and places.pop(bound.place, None) is not None and not places:
                del self._by_subject[subject]

    def subjects(self, gives: Callable[[CompiledRules], bool]) -> Iterator[Collection[Subject]]:
        """Yields for each ClusterRoleBinding its subjects, or nothing unless `gives` says so of its role. The bindings must not
        change meanwhile."""
        roles: dict[BindingKey, bool] = {}
        for binding in self._bindings.values():
            if binding.place[0]:
                continue
            if binding.role not in roles:
                rules = self._rules_of(*binding.role)
                roles[binding.role] = rules is not None and gives(rules)
            yield binding.subjects.keys() if roles[binding.role] else ()

    def count(self, users: Iterable[User]) -> int:
        """How many bindings name any of these users or their groups."""
        return sum(len(self._by_subject.get(subject, ())) for user in users for subject in subjects_of(user))

    def grants(self, users: Sequence[User]) -> list[Grant]:
        """The grants of these users and their groups; grants for the whole cluster first."""
        return [grant for grant in self.each(users) if grant is not None]

    def each(self, users: Sequence[User]) -> Iterator[Grant | None]:
        """Yields the same grants, and None for each binding that grants nothing. Changes during the iteration may be missed."""
        # A role is looked up once, by however many bindings.
        roles: dict[BindingKey, CompiledRules | None] = {}
        subjects = dict.fromkeys(subject for user in users for subject in subjects_of(user))
        for everywhere in (True, False):
            for subject in subjects:
                for binding in tuple(self._by_subject.get(subject, {}).values()):
                    namespace = binding.place[0]
                    if everywhere is bool(namespace):
                        yield None
                        continue
                    if binding.role not in roles:
                        roles[binding.role] = self._rules_of(*binding.role)
                    rules = roles[binding.role]
                    yield Grant(namespace or None, rules, binding, subject) if rules is not None else None


def allowing(grants: Iterable[Grant], attributes: Attributes) -> Grant | None:
    """The first grant that allows the request; None if none does."""
    if not attributes.is_resource:
        for grant in grants:
            if grant.namespace is None and grant.rules.allows_path(attributes.verb, attributes.path):
                return grant
        return None
    for grant in grants:
        if grant.namespace is not None and grant.namespace != attributes.namespace:
            continue
        if grant.rules.allows(
            verb=attributes.verb,
            group=attributes.group,
            resource=attributes.resource,
            subresource=attributes.subresource,
            name=attributes.name,
        ):
            return grant
    return None


def subjects_of(user: User) -> Iterator[Subject]:
    """The subjects of bindings that mean a user."""
    yield "User", user.name
    for group in user.groups:
        yield "Group", group


def _subject(subject: Mapping[str, Any], namespace: str) -> Subject | None:
    kind, name = subject.get("kind"), subject.get("name") or ""
    if kind == "ServiceAccount":
        home = subject.get("namespace") or namespace
        return ("User", service_account_name(home, name)) if home else None
    return (kind, name) if kind in ("User", "Group") else None
