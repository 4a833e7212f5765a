"""The permissions that a workspace type gives its initializer or terminator, as grants, for escalation checks."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.apiserver.user import INITIALIZER_GROUP_PREFIX, TERMINATOR_GROUP_PREFIX, User
from tenantry.kube.objects import Object
from tenantry.kube.rbac.policy_rules import CompiledRules
from tenantry.placement.catalog import Catalog
from tenantry.tenancy.authorization.cluster_bindings import Grant
from tenantry.tenancy.resources import WORKSPACE_TYPES

PERMISSIONS = {INITIALIZER_GROUP_PREFIX: "initializerPermissions", TERMINATOR_GROUP_PREFIX: "terminatorPermissions"}
"""Prefix of the groups that the views add → field of the type's spec."""
_WAITED = {INITIALIZER_GROUP_PREFIX: "initializers", TERMINATOR_GROUP_PREFIX: "terminators"}
"""Prefix of the groups → field of the LogicalCluster's status."""


def initializer_groups(users: Iterable[User]) -> list[str]:
    """The groups by which the users are controllers of workspace types."""
    return [group for user in users for group in user.groups if group.startswith(tuple(PERMISSIONS))]


def waited_for(logical_cluster: Object | None, groups: Iterable[str]) -> list[str]:
    """The groups whose controllers a logical cluster waits for. Other groups give no access."""
    status = (logical_cluster or {}).get("status") or {}
    waited = {f"{prefix}{each}" for prefix, field in _WAITED.items() for each in status.get(field) or ()}
    return [group for group in groups if group in waited]


def initializer_grants(catalog: Catalog, groups: Iterable[str]) -> list[Grant]:
    """The current rules of the types, as grants. A deleted type gives none."""
    found: list[Grant] = []
    for group in groups:
        prefix, field = next((prefix, field) for prefix, field in PERMISSIONS.items() if group.startswith(prefix))
        cluster, _, name = group.removeprefix(prefix).rpartition(":")
        workspace_type = catalog.get(WORKSPACE_TYPES, cluster, name)
        rules = ((workspace_type or {}).get("spec") or {}).get(field)
        if rules:
            found.append(Grant(None, CompiledRules(rules), f'allowed by {field} of WorkspaceType "{name}"'))
    return found
