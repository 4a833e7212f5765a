"""Scopes that do not exist. Only callers who may know this get 404; all others get the same 403 as for a scope that they may not
use."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

from tenantry.apiserver.authorization import ALLOWED, Attributes, Decision, Verdict
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.user import User
from tenantry.kube.status import StatusError

Knows = Callable[[User], bool]


def masters(user: User) -> bool:
    return user.is_master


@dataclass(frozen=True, slots=True)
class HiddenScope:
    """The authorizer where the URL names something that does not exist. A request for it is authenticated, parsed and refused
    like any other, so that no part of the answer shows whether the scope exists.

    `error` is raised for users for whom `known_to` is true. `reason` is the reason in the 403 for all others; it must be the same
    as for scopes that exist. `cluster` is as in `Scope`.
    """

    error: StatusError
    known_to: Knows = masters
    reason: str = ""
    cluster: str | None = ""

    def authorize(self, attributes: Attributes) -> Decision:
        """Allows health checks and refuses all else. Raises `error` for users who may know that the scope does not exist."""
        if self.known_to(attributes.user):
            raise copy(self.error)
        if not attributes.resource and attributes.path in HEALTH_PATHS:
            return ALLOWED
        return Decision(Verdict.NO_OPINION, self.reason)
