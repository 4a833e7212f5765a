"""What a workspace type lets its initializer or terminator do, as a grant: what it may pass on is measured by it."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.apiserver.user import INITIALIZER_GROUP_PREFIX, TERMINATOR_GROUP_PREFIX, User
from tenantry.kube.objects import Object
from tenantry.kube.rbac.rules import CompiledRules
from tenantry.placement.catalog import Catalog
from tenantry.tenancy.authorization.policy import Grant
from tenantry.tenancy.resources import WORKSPACE_TYPES

PERMISSIONS = {INITIALIZER_GROUP_PREFIX: "initializerPermissions", TERMINATOR_GROUP_PREFIX: "terminatorPermissions"}
"""By the groups that the views give: the field of the type's spec."""
_WAITED = {INITIALIZER_GROUP_PREFIX: "initializers", TERMINATOR_GROUP_PREFIX: "terminators"}
"""The same: the field of the LogicalCluster's status."""


def initializer_groups(users: Iterable[User]) -> list[str]:
    """The groups of a controller of workspace types."""
    return [group for user in users for group in user.groups if group.startswith(tuple(PERMISSIONS))]


def waited_for(logical_cluster: Object | None, groups: Iterable[str]) -> list[str]:
    """Those of the groups whose controllers a logical cluster waits for. Nobody is let in, or told anything, by another one."""
    status = (logical_cluster or {}).get("status") or {}
    waited = {f"{prefix}{each}" for prefix, field in _WAITED.items() for each in status.get(field) or ()}
    return [group for group in groups if group in waited]


def initializer_grants(catalog: Catalog, groups: Iterable[str]) -> list[Grant]:
    """The rules of the types, as they are now; nothing for a type that is gone."""
    found: list[Grant] = []
    for group in groups:
        prefix, field = next((prefix, field) for prefix, field in PERMISSIONS.items() if group.startswith(prefix))
        cluster, _, name = group.removeprefix(prefix).rpartition(":")
        workspace_type = catalog.get(WORKSPACE_TYPES, cluster, name)
        rules = ((workspace_type or {}).get("spec") or {}).get(field)
        if rules:
            found.append(Grant(None, CompiledRules(rules), f'allowed by {field} of WorkspaceType "{name}"'))
    return found
