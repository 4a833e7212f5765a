"""Questions to an authorizer and its answers. The RBAC rules are in `tenantry.tenancy.authorization`."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from tenantry.apiserver.user import User

NOT_PERMITTED = "workspace access not permitted"
"""The reason for callers without access to a logical cluster (kcp). It is the same for those that exist and for those that do
not, and so is all else that such a caller is told."""


class Verdict(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


class Decision(NamedTuple):
    verdict: Verdict
    reason: str = ""

    @property
    def allowed(self) -> bool:
        return self.verdict is Verdict.ALLOW


ALLOWED = Decision(Verdict.ALLOW)
NO_OPINION = Decision(Verdict.NO_OPINION)


class Attributes(NamedTuple):
    """One question to an authorizer (k8s.io/apiserver authorizer.Attributes). `cluster` is the id of a logical cluster, or `*`
    for a wildcard request.

    Questions about resources have `resource`; others have only `path`. `verb` is the API verb (get, list, …), or the lower-case
    HTTP method for a path. The selectors are those of a list, watch or deletecollection; RBAC does not look at them. Hashable, so
    that decisions can be cached.
    """

    user: User
    verb: str
    cluster: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""
    label_selector: str = ""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)


class Authorizer(Protocol):
    def authorize(self, attributes: Attributes) -> Decision:
        """Decides from memory. Every decision except ALLOW refuses the request with 403. May raise StatusError."""
        ...
