"""The scope of paths under `/services` that no view has: as in kcp, 404 for system:masters and 403 for everybody else."""

from __future__ import annotations

from tenantry.apiserver.authorization import ALLOWED, NO_OPINION, Attributes, Authorizer, Decision
from tenantry.kube.api_set import ApiSet
from tenantry.kube.status import generic_not_found
from tenantry.tenancy.scopes import ClusterScope

_NOTHING = ApiSet(())


class _OnlyMasters:
    def authorize(self, attributes: Attributes) -> Decision:
        if not attributes.user.is_master:
            return NO_OPINION
        if attributes.is_resource:
            raise generic_not_found()
        return ALLOWED


ONLY_MASTERS = _OnlyMasters()


class NowhereScope(ClusterScope):
    """Needs a range only because every scope has one."""

    __slots__ = ()

    @property
    def authorizer(self) -> Authorizer:
        return ONLY_MASTERS

    def apis(self) -> ApiSet:
        return _NOTHING
