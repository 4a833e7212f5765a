"""The scope of a place in a view that does not exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy

from tenantry.apiserver.admission.dynamic import WholeAdmission
from tenantry.apiserver.authorization import NO_OPINION, Attributes, Authorizer, Decision
from tenantry.apiserver.conversion.converter import Converter
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.scope import Connector, Scope, Translating
from tenantry.apiserver.user import User
from tenantry.apiserver.visibility import Visibility
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.virtual.restricted_definitions import NO_SUBRESOURCES, restricted
from tenantry.virtual.view import READ_VERBS, View


class NotFoundScope:
    """Wraps the view's scope of a logical cluster that never exists. Callers without access get the same refusal as in other
    places.

    It serves no verbs that write. `error`: the answer to system:masters. `shown`: True if callers with access get the (empty)
    contents, False if they are refused.
    """

    def __init__(self, view: View, scope: Scope, error: StatusError, *, shown: bool) -> None:
        self._view = view
        self._scope = scope
        self._error = error
        self._shown = shown

    @property
    def cluster(self) -> str | None:
        return self._scope.cluster

    @property
    def cell(self) -> Cell:
        return self._scope.cell

    @property
    def range(self) -> Range:
        return self._scope.range

    @property
    def hubs(self) -> Hubs:
        return self._scope.hubs

    @property
    def converter(self) -> Converter:
        return self._scope.converter

    @property
    def authorizer(self) -> Authorizer:
        return self

    @property
    def admission(self) -> WholeAdmission:
        return self._scope.admission

    def apis(self) -> ApiSet:
        return self._view.api_set(restricted(definition, READ_VERBS, NO_SUBRESOURCES) for definition in self._scope.apis())

    def listed(self, apis: ApiSet) -> ApiSet:
        return self._scope.listed(apis)

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        return self._scope.watch_apis(changed)

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        return self._scope.visibility(definition, user, verb)

    @property
    def shown_since(self) -> int:
        return self._scope.shown_since

    def acting_user(self, user: User) -> User:
        return self._scope.acting_user(user)

    def present(self, definition: ResourceDefinition, user: User) -> Callable[[Object], Object] | None:
        return self._scope.present(definition, user)

    @property
    def translation(self) -> Translating | None:
        return self._scope.translation

    def catalog(self, definition: ResourceDefinition, key: Key, obj: Object | None) -> Mapping[bytes, bytes | None]:
        return self._scope.catalog(definition, key, obj)

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        return self._scope.connector(definition, subresource)

    def authorize(self, attributes: Attributes) -> Decision:
        """Raises StatusError, `error` or what the view's own authorizer raises."""
        if attributes.user.is_master:
            raise copy(self._error)
        decision = self._scope.authorizer.authorize(attributes)
        if not decision.allowed or (not attributes.is_resource and attributes.path in HEALTH_PATHS):
            return decision
        return decision if self._shown else NO_OPINION
