"""What a workspace type lets its initializer or terminator do, as a grant: what it may pass on is measured by it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tenantry.apiserver.user import INITIALIZER_GROUP_PREFIX, TERMINATOR_GROUP_PREFIX, User
from tenantry.kube.rbac.rules import CompiledRules
from tenantry.tenancy.authorization.policy import Grant
from tenantry.tenancy.resources import WORKSPACE_TYPES

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

PERMISSIONS = {INITIALIZER_GROUP_PREFIX: "initializerPermissions", TERMINATOR_GROUP_PREFIX: "terminatorPermissions"}
"""By the groups that the views give: the field of the type's spec."""


def lifecycle_groups(users: Iterable[User]) -> list[str]:
    """The groups of a controller of workspace types."""
    return [group for user in users for group in user.groups if group.startswith(tuple(PERMISSIONS))]


def lifecycle_grants(host: Host, groups: Iterable[str]) -> list[Grant]:
    """The rules of the types, as they are now; nothing for a type that is gone."""
    found: list[Grant] = []
    for group in groups:
        prefix, field = next((prefix, field) for prefix, field in PERMISSIONS.items() if group.startswith(prefix))
        cluster, _, name = group.removeprefix(prefix).rpartition(":")
        workspace_type = host.catalog.get(WORKSPACE_TYPES, cluster, name)
        rules = ((workspace_type or {}).get("spec") or {}).get(field)
        if rules:
            found.append(Grant(None, CompiledRules(rules), f'allowed by {field} of WorkspaceType "{name}"'))
    return found
