"""Places that do not exist: only who may know that is told; to all others they are places that they may not enter."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

from tenantry.apiserver.authorization import ALLOWED, Attributes, Authorizer, Decision, Verdict
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.user import User
from tenantry.kube.status import StatusError

Knows = Callable[[User], bool]


def masters(user: User) -> bool:
    return user.is_master


@dataclass(frozen=True, slots=True)
class HiddenScope:
    """What a mount has in place of a scope. A request for it is authenticated, parsed and refused like any other, so that no part
    of the answer tells it from a place that exists.

    `error`: the answer to those whom `known_to` names. `reason`: that of the refusals of places which exist. `cluster` as in
    `Scope`.
    """

    error: StatusError
    known_to: Knows = masters
    reason: str = ""
    cluster: str | None = ""

    @property
    def authorizer(self) -> Authorizer:
        return self

    def authorize(self, attributes: Attributes) -> Decision:
        """Raises StatusError, `error`."""
        if self.known_to(attributes.user):
            raise copy(self.error)
        if not attributes.resource and attributes.path in HEALTH_PATHS:
            return ALLOWED
        return Decision(Verdict.NO_OPINION, self.reason)
