"""The scope of the request for the caller's home workspace, `GET …/clusters/root/…/workspaces/~`."""

from __future__ import annotations

from dataclasses import replace

from tenantry.apiserver.authorization import Attributes, Authorizer, Decision, Verdict
from tenantry.apiserver.scope import Call, Connector
from tenantry.apiserver.verbs.respond import object_response, representation_of
from tenantry.http.messages import Reply
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.storage.range import Range
from tenantry.tenancy.cluster_scope import ClusterScope, ClusterScopes
from tenantry.tenancy.well_known import ROOT
from tenantry.tenancy.workspaces.home_workspaces import HOME_NAME, HomeWorkspaces

HOME_PATH = f"/apis/tenancy.kcp.io/v1alpha1/workspaces/{HOME_NAME}"
"""The Kubernetes path of the request, in `root`."""
HOME_SUBRESOURCE = "home"
"""The resolver makes the request one for this subresource, so that a connector answers it."""


class HomeScope(ClusterScope):
    """The scope of `root`, for the request for the caller's home workspace.

    The authorizer allows this request, because `HomeWorkspaces` decides who may have a home (kcp handles it before
    authorization). Everything else is as in root, also the permission to impersonate.
    """

    __slots__ = ("_homes",)

    def __init__(self, scopes: ClusterScopes, range_: Range, homes: HomeWorkspaces) -> None:
        super().__init__(scopes, ROOT, range_)
        self._homes = homes

    def apis(self) -> ApiSet:
        return _with_home(self._homes.definition)

    @property
    def authorizer(self) -> Authorizer:
        return self

    def authorize(self, attributes: Attributes) -> Decision:
        if attributes.subresource == HOME_SUBRESOURCE and attributes.name == HOME_NAME:
            return Decision(Verdict.ALLOW, "everybody may ask for a home")
        return self.scopes.authorizer.authorize(attributes)

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        return self._answer if subresource == HOME_SUBRESOURCE else super().connector(definition, subresource)

    async def _answer(self, call: Call) -> Reply:
        representation = representation_of(call)
        return object_response(call, representation, await self._homes.get(call.user))


def _with_home(workspaces: ResourceDefinition) -> ApiSet:
    """The definition of Workspaces with `HOME_SUBRESOURCE`."""
    memo = workspaces.versions[workspaces.storage_version].memo
    found: ApiSet | None = memo.get(HOME_SUBRESOURCE)
    if found is None:
        versions = {
            name: replace(version, subresources=version.subresources | {HOME_SUBRESOURCE}, memo={})
            for name, version in workspaces.versions.items()
        }
        found = memo[HOME_SUBRESOURCE] = ApiSet((replace(workspaces, versions=versions),))
    return found
