"""Refuses ClusterRoles and ClusterRoleBindings with names of the system's ones, in every logical cluster (409).

In Kubernetes, these names exist as objects. Here the objects are in `system:admin`, and apply in every cluster. kcp does not
reserve the names, and there a role of a tenant replaces the system's role in its cluster.
"""

from __future__ import annotations

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, Review
from tenantry.kube.objects import GroupResource, name_of
from tenantry.kube.rbac.default_roles import CLUSTER_ROLE_BINDINGS as KUBERNETES_BINDINGS
from tenantry.kube.rbac.default_roles import CLUSTER_ROLES as KUBERNETES_ROLES
from tenantry.kube.status import already_exists
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.tenancy.bootstrap_objects import SYSTEM_BINDINGS, SYSTEM_ROLES
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from tenantry.tenancy.well_known import SYSTEM_ADMIN

INSTALLED = {
    CLUSTER_ROLES: frozenset(map(name_of, (*KUBERNETES_ROLES, *SYSTEM_ROLES))),
    CLUSTER_ROLE_BINDINGS: frozenset(map(name_of, (*KUBERNETES_BINDINGS, *SYSTEM_BINDINGS))),
}
"""The names that every start installs. They are reserved even if an administrator has deleted the object."""


class SystemRolesAdmission(Plugin):
    """Applies to all users. Older objects with such a name have no effect, and may be read, changed and deleted."""

    types = frozenset(GroupResource(*resource.split("/")) for resource in INSTALLED)

    def __init__(self, *, cell: Cell, catalog: Catalog) -> None:
        self._cell = cell
        self._catalog = catalog

    def validate(self, review: Review) -> None:
        resource = review.definition.storage_key
        if review.operation != CREATE or resource not in INSTALLED or review.cluster == SYSTEM_ADMIN:
            return
        if review.name in INSTALLED[resource] or self._is_taken(resource, review.name):
            raise already_exists(review.definition.group_resource, review.name)

    def _is_taken(self, resource: str, name: str) -> bool:
        """Whether `system:admin` has an object of this name: administrators may add roles for all clusters there."""
        cell = self._cell
        if cell.owns(SYSTEM_ADMIN):
            return cell.range_of(SYSTEM_ADMIN).get(Key(SYSTEM_ADMIN, resource, "", name)) is not None
        return self._catalog.entry(resource, SYSTEM_ADMIN, name) is not None
