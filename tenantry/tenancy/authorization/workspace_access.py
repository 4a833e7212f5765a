"""Access to logical clusters of any shard."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.user import User
from tenantry.kube.objects import Object
from tenantry.kube.rbac.policy_rules import CompiledRules
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.directory import Directory
from tenantry.storage.cell import Cell
from tenantry.tenancy.access_rules import OWNER_BINDING, PATH, VERB
from tenantry.tenancy.authorization.chained_authorizer import ChainedAuthorizer
from tenantry.tenancy.authorization.cluster_access import Access
from tenantry.tenancy.authorization.cluster_bindings import Grant
from tenantry.tenancy.authorization.required_groups import RequiredGroups
from tenantry.tenancy.authorization.workspace_content import Content
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS
from tenantry.tenancy.types.phase_fields import READY

_OWNERS = Grant(None, CompiledRules(({"verbs": [VERB], "nonResourceURLs": [PATH]},)), "owner of the workspace")


class WorkspaceAccess:
    """Checks required groups, the phase, and the verb `access`. For clusters of other shards it uses copies
    (`tenantry.tenancy.access_rules`)."""

    def __init__(
        self, logical_cluster: Callable[[str], Object | None], *, cell: Cell, catalog: Catalog, directory: Directory
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._directory = directory
        self._logical_cluster = logical_cluster
        self._links: tuple[ChainedAuthorizer, ...] = (RequiredGroups(self.known), Content(self.known))

    def allows(self, user: User, cluster: str, owner: str, access: Access) -> bool:
        if owner and any(each.name == owner for each in access.users) and self.has_first_binding(cluster):
            access = Access(access.users, (*access.grants, _OWNERS))
        question = Attributes(user, VERB, cluster, path=PATH)
        for link in self._links:
            decision = link.decide(question, access)
            if decision is not None:
                return decision.allowed
        return access.may_access

    def has_first_binding(self, cluster: str) -> bool:
        """Whether a cluster of another shard still has the owner's binding: no copy says otherwise."""
        return not self._cell.owns(cluster) and self._catalog.entry(CLUSTER_ROLE_BINDINGS, cluster, OWNER_BINDING) is None

    def known(self, cluster: str) -> Object | None:
        """The LogicalCluster. For one of another shard without a copy, an object with the phase in the path index."""
        found = self._logical_cluster(cluster)
        if found is not None or self._cell.owns(cluster):
            return found
        parent = self._directory.parent_of(cluster)
        workspace = self._directory.workspace(*parent) if parent is not None else None
        return {"metadata": {}, "status": {"phase": workspace.get("phase", READY)}} if workspace is not None else None
