"""The callers of requests, among whom the limits of the server are shared."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tenantry.http.messages import Request

UNAUTHENTICATED = "nobody"
"""The tenant of requests without credentials, or with credentials that were not accepted yet."""

AnyRequest = TypeVar("AnyRequest", bound=Request, contravariant=True)


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request.

    `owners`: the tenant and the user. Each of them has a share of every limit. `exempt`: the platform itself and its
    administrators.
    They use no shares and have no owners.
    `proven`: an earlier request proved the identity. Otherwise `credential` is the hash of the credential that has to be accepted
    first, empty if the request has none.
    """

    owners: tuple[Hashable, ...]
    proven: bool = True
    exempt: bool = False
    credential: bytes = b""

    @property
    def tenant(self) -> Hashable:
        """The first of `owners`. Exempt callers have none."""
        return self.owners[0]


WITHOUT_CREDENTIALS = Caller((UNAUTHENTICATED, ""), proven=False)


class Callers(Protocol[AnyRequest]):
    """Finds the callers of requests. It is called on the event loop for every request, so it must not block."""

    def of(self, request: AnyRequest) -> Caller:
        """The caller, as far as it is known before the request is authenticated."""
        ...

    def answered(self, caller: Caller, request: AnyRequest, status: int) -> Caller:
        """The caller after the answer with `status`. It is called for callers that were not proven."""
        ...

    def refused(self, request: AnyRequest) -> None:
        """Called when the answer is 401: the credential of the request is not accepted any more."""
        ...

    def trusts(self, certificate: bytes | None) -> bool:
        """Whether a client certificate (DER) belongs to a server of the platform. Such a server sends requests of any number of
        callers on one connection."""
        ...
