"""For whom a request counts: what the server's limits are shared among."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tenantry.http.messages import Request

NOBODY = "nobody"
"""The tenant of requests without credentials, or with such as were not accepted yet."""

AnyRequest = TypeVar("AnyRequest", bound=Request, contravariant=True)


@dataclass(frozen=True, slots=True)
class Caller:
    """`owners` are the tenant and the user, each of whom has a share of every limit. `exempt`: the platform itself and its
    administrators, who are counted for no share and have no owners.

    `proven`: who it is was proven by an earlier request. Otherwise `credential` is the hash of what would have to be accepted
    first, empty where the request has none.
    """

    owners: tuple[Hashable, ...]
    proven: bool = True
    exempt: bool = False
    credential: bytes = b""

    @property
    def tenant(self) -> Hashable:
        """The first of `owners`; exempt callers have none."""
        return self.owners[0]


WITHOUT_CREDENTIALS = Caller((NOBODY, ""), proven=False)


class Callers(Protocol[AnyRequest]):
    """Who a request's caller is. Asked on the loop, for every request, so nothing here may wait."""

    def of(self, request: AnyRequest) -> Caller:
        """As far as it is known before the request is authenticated."""
        ...

    def answered(self, caller: Caller, request: AnyRequest, status: int) -> Caller:
        """Who it turned out to be, now that the request is answered with `status`. Asked for callers that were not proven."""
        ...

    def refused(self, request: AnyRequest) -> None:
        """The answer is 401: the request's credential is not accepted any more."""
        ...

    def trusts(self, certificate: bytes | None) -> bool:
        """Whether a connection with this client certificate (DER) is one of the platform's own servers, which send requests of
        any number of callers on it."""
        ...
