"""The RBAC objects of one logical cluster, compiled: subject → what it is granted, where."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.user import User, service_account_name
from tenantry.kube.objects import Object, name_of, namespace_of
from tenantry.kube.rbac.rules import CompiledRules

Subject = tuple[str, str]
"""(`User` or `Group`, name)."""


class Grant(NamedTuple):
    """Rules that a binding gives: in one namespace, or in the whole cluster (None). `by` names the binding and `to` the subject;
    they are put together where a reason is told, since a binding may have a long name and many subjects."""

    namespace: str | None
    rules: CompiledRules
    by: str
    to: str = ""

    @property
    def source(self) -> str:
        """What gives it, for the reason of a decision."""
        return f"{self.by} to {self.to}" if self.to else self.by


RoleSource = Callable[[str, str], CompiledRules | None]
"""(namespace, name) → the rules of a role, or with an empty namespace of a cluster role; None where there is none."""


class Policy:
    """Immutable once made. Bindings to roles that do not exist grant nothing, as upstream."""

    def __init__(self, cluster_bindings: Iterable[Object], bindings: Iterable[Object], rules_of: RoleSource) -> None:
        self._grants: dict[Subject, list[Grant]] = {}
        for binding in cluster_bindings:
            self._add(binding, None, rules_of)
        for binding in bindings:
            self._add(binding, namespace_of(binding), rules_of)

    def _add(self, binding: Object, namespace: str | None, rules_of: RoleSource) -> None:
        role = binding.get("roleRef") or {}
        rules = rules_of(namespace or "" if role.get("kind") == "Role" else "", role.get("name") or "")
        if rules is None:
            return
        kind = "ClusterRoleBinding" if namespace is None else "RoleBinding"
        place = name_of(binding) if namespace is None else f"{name_of(binding)}/{namespace}"
        source = f'RBAC: allowed by {kind} "{place}" of {role.get("kind")} "{role.get("name")}"'
        for subject in binding.get("subjects") or ():
            key = _subject(subject, namespace)
            if key is not None:
                shown = f'{subject.get("kind")} "{_shown(subject, namespace)}"'
                self._grants.setdefault(key, []).append(Grant(namespace, rules, source, shown))

    def grants(self, user: User) -> list[Grant]:
        """Everything granted to a user and its groups; grants for the whole cluster first."""
        found = list(self._grants.get(("User", user.name), ()))
        for group in user.groups:
            found.extend(self._grants.get(("Group", group), ()))
        found.sort(key=lambda grant: grant.namespace is not None)
        return found


def allowing(grants: Iterable[Grant], attributes: Attributes) -> Grant | None:
    """The first grant that allows a question, None where none does."""
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


def _subject(subject: Mapping[str, Any], namespace: str | None) -> Subject | None:
    kind, name = subject.get("kind"), subject.get("name") or ""
    if kind == "ServiceAccount":
        home = subject.get("namespace") or namespace or ""
        return ("User", service_account_name(home, name)) if home else None
    return (kind, name) if kind in ("User", "Group") else None


def _shown(subject: Mapping[str, Any], namespace: str | None) -> str:
    name = subject.get("name") or ""
    return f"{name}/{subject.get('namespace') or namespace}" if subject.get("kind") == "ServiceAccount" else name
