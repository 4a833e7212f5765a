"""The contents of a workspace for the controller of its type.

The controller acts as the owner of the workspace, or as itself if the type has permissions for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from tenantry.apiserver.authorization import NO_OPINION, Attributes, Authorizer, Decision
from tenantry.apiserver.scope import Call, Connector
from tenantry.apiserver.user import User, make_extra, without_privileges
from tenantry.http.messages import Reply
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.rbac.policy_rules import CompiledRules
from tenantry.kube.status import PlainError
from tenantry.storage.keys import Key
from tenantry.tenancy.authorization.stored_user import confined
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.virtual.view import Place

SYSTEM_PREFIX = "system:"


class TypeOwnersView(Protocol):
    """What the scope needs of the view: which controllers it serves, and the permissions that types give them."""

    @property
    def singular(self) -> str: ...

    @property
    def field(self) -> str: ...

    @property
    def permissions_field(self) -> str: ...

    @property
    def group_prefix(self) -> str: ...

    def allows(self, place: Place, question: Attributes) -> bool: ...

    def in_phase(self, logical_cluster: Object) -> bool: ...

    def compiled(self, identifier: str, rules: list[Object]) -> CompiledRules: ...

    def workspace_type(self, cluster: str, name: str) -> Object | None: ...


class ContentScope(ClusterScope):
    """A logical cluster with all its APIs, to which the rules of the view give access. It is its own authorizer."""

    __slots__ = ("_id", "_place", "_view")

    def __init__(self, view: TypeOwnersView, place: Place, base: ClusterScope) -> None:
        assert place.cluster is not None
        super().__init__(base.scopes, place.cluster, base.range)
        self._view = view
        self._place = place
        self._id = place.arguments[0]

    @property
    def authorizer(self) -> Authorizer:
        return self

    def authorize(self, attributes: Attributes) -> Decision:
        """Raises PlainError, as kcp's proxy: 403 if the workspace does not wait for this initializer or terminator, 503 if its
        type does not exist."""
        if not attributes.user.is_master and not self._view.allows(self._place, attributes):
            return NO_OPINION
        logical_cluster = self._logical_cluster()
        self._require_waiting(logical_cluster)
        rules = self._permissions()
        if rules:
            self._require_rule(rules, attributes)
        return self.scopes.authorizer.authorize(attributes._replace(user=self._acting(attributes.user, logical_cluster, rules)))

    def acting_user(self, user: User) -> User:
        return self._acting(user, self._logical_cluster(), self._permissions())

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        answer = super().connector(definition, subresource)
        if answer is None:
            return None

        async def answered(call: Call) -> Reply:
            base = ClusterScope(self.scopes, self._place.cluster or "", self.range)
            return await answer(replace(call, scope=base, user=self.acting_user(call.user)))

        return answered

    def _logical_cluster(self) -> Object:
        record = self.range.get(Key(self._place.cluster or "", LOGICAL_CLUSTERS, "", "cluster"))
        if record is None:
            # Owners of all types may ask here, so the answer does not reveal whether the workspace exists.
            raise PlainError(403, f'{self._view.singular} "{self._id}" cannot access this workspace')
        return decoded(record)

    def _require_waiting(self, logical_cluster: Object) -> None:
        listed = (logical_cluster.get("status") or {}).get(self._view.field) or ()
        if not self._view.in_phase(logical_cluster) or self._id not in listed:
            raise PlainError(403, f'{self._view.singular} "{self._id}" cannot access this workspace')

    def _permissions(self) -> list[Object]:
        """The rules that the type gives its controller. None: the controller acts as the owner. Raises PlainError 503 if the
        type does not exist."""
        if self._id.startswith(SYSTEM_PREFIX):
            return []
        cluster, _, name = self._id.rpartition(":")
        found = self._view.workspace_type(cluster, name)
        if found is None:
            raise PlainError(503, f'workspace type of {self._view.singular} "{self._id}" cannot be resolved')
        return (found.get("spec") or {}).get(self._view.permissions_field) or []

    def _require_rule(self, rules: list[Object], attributes: Attributes) -> None:
        compiled = self._view.compiled(self._id, rules)
        if attributes.is_resource:
            allowed = compiled.allows(
                verb=attributes.verb,
                group=attributes.group,
                resource=attributes.resource,
                subresource=attributes.subresource,
                name=attributes.name,
            )
            what = f"{attributes.group or 'core'}/{attributes.resource}"
            if attributes.subresource:
                what += f"/{attributes.subresource}"
        else:
            allowed = compiled.allows_path(attributes.verb, attributes.path)
            what = attributes.path
        if not allowed:
            raise PlainError(
                403,
                f'{self._view.singular} "{self._id}" denied by {self._view.permissions_field}: '
                f"no rule allows {attributes.verb} on {what} in logical cluster {self._place.cluster}",
            )

    def _acting(self, user: User, logical_cluster: Object, rules: list[Object]) -> User:
        """As whom the controller acts. Privileged groups of the controller and of the owner do not count here. Raises
        PlainError 500."""
        if rules:
            caller = without_privileges(user)
            return replace(caller, groups=(*caller.groups, self._view.group_prefix + self._id))
        owner = (logical_cluster.get("spec") or {}).get("createdBy")
        if not owner or not owner.get("username"):
            raise PlainError(500, f"logical cluster {self._place.cluster} does not say who created it")
        creator = User(
            owner["username"],
            tuple(owner.get("groups") or ()),
            owner.get("uid") or "",
            make_extra({key: list(values) for key, values in (owner.get("extra") or {}).items()}),
        )
        return confined(creator, self._place.cluster or "")
