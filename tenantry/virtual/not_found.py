"""The scope of a place in a view that does not exist."""

from __future__ import annotations

from copy import copy
from typing import Any

from tenantry.apiserver.authorization import NO_OPINION, Attributes, Authorizer, Decision
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.scope import Scope
from tenantry.kube.api_set import ApiSet
from tenantry.kube.status import StatusError
from tenantry.virtual.restrict import NO_SUBRESOURCES, restricted
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

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scope, name)

    @property
    def authorizer(self) -> Authorizer:
        return self

    def apis(self) -> ApiSet:
        return self._view.api_set(restricted(definition, READ_VERBS, NO_SUBRESOURCES) for definition in self._scope.apis())

    def authorize(self, attributes: Attributes) -> Decision:
        """Raises StatusError, `error` or what the view's own authorizer raises."""
        if attributes.user.is_master:
            raise copy(self._error)
        decision = self._scope.authorizer.authorize(attributes)
        if not decision.allowed or (not attributes.is_resource and attributes.path in HEALTH_PATHS):
            return decision
        return decision if self._shown else NO_OPINION
