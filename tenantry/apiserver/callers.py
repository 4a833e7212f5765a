"""For which tenant a request counts, before the request is authenticated.

A server shares its limits among tenants (`tenantry.base.shares`) before a request costs anything. So this module remembers
credentials that were accepted recently, by their hash, with their owner. All other credentials, and all requests without
credentials, count as one tenant, `UNAUTHENTICATED`: a client that invents tokens or paths gets no larger share.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tenantry.apiserver.authentication.client_certificate import ClientCertificates, RequestHeaders
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import ANONYMOUS, User, home_of
from tenantry.base.cache import Cache
from tenantry.http.callers import UNAUTHENTICATED, WITHOUT_CREDENTIALS, Caller

_REMEMBERED_BYTES = 8 << 20
_LONGEST_NAME = 128
_NOT_ACCEPTED = frozenset((401, 429, 502, 503, 504))
"""Status codes of answers that do not prove that the credential was accepted."""


PLATFORM = Caller((), exempt=True)


class CredentialOwner(NamedTuple):
    """The user that a credential belongs to. `home` is the logical cluster for which all requests of this user count, wherever
    they go. It is empty for users who belong to no cluster."""

    user: str
    home: str
    exempt: bool


def credential_owner(user: User) -> CredentialOwner:
    """The owner for an authenticated user. A service account, or a user whom only one cluster knows, counts for that cluster,
    because a cluster can make any number of them."""
    home = home_of(user)
    name = f"{home}/{user.name}" if home else user.name
    return CredentialOwner(f"user {_short(name)}", _short(home), user.is_master)


class ApiCallers:
    """The `tenantry.http.callers.Callers` of the API server.

    `tenant_of` gives the logical cluster that a URL path is about. Different spellings of the same cluster give the same result.
    It is empty where the path names no cluster.

    `home_of` is asked about tokens that another server accepted. It gives the logical cluster that the token belongs to, or None
    where the token does not show it. `certificates` and `headers` authenticate callers with client certificates and callers that
    a front proxy names.
    """

    def __init__(
        self,
        tenant_of: Callable[[str], str] = lambda path: "",
        *,
        home_of: Callable[[Request], str | None] = lambda request: None,
        certificates: ClientCertificates | None = None,
        headers: Sequence[RequestHeaders] = (),
    ) -> None:
        self._tenant_of = tenant_of
        self._home_of = home_of
        self._certificates = certificates
        self._headers = tuple(headers)
        self._tokens: Cache[bytes, CredentialOwner] = Cache("callers", bytes_max=_REMEMBERED_BYTES)

    def of(self, request: Request) -> Caller:
        """The caller, before the request is authenticated."""
        certificate = request.client_certificate
        if certificate is not None:
            found = self._certified(request, certificate)
            if found is not None:
                return self._caller(found, request)
        credential = request.credential
        if not credential:
            return WITHOUT_CREDENTIALS
        found = self._tokens.get(credential)
        if found is None:
            return Caller((UNAUTHENTICATED, credential), False, False, credential)
        return self._caller(found, request)

    def answered(self, caller: Caller, request: Request, status: int) -> Caller:
        """The caller of a request that was answered with `status`. Called only for callers that were not proven before."""
        user = request.impersonator or request.user
        if user is not None and user.name != ANONYMOUS:
            found = credential_owner(user)
        elif user is None and caller.credential and status not in _NOT_ACCEPTED:
            # The request was forwarded, and the other server accepted the token.
            found = CredentialOwner(f"token {caller.credential.hex()}", _short(self._home_of(request) or ""), False)
        else:
            return caller
        if caller.credential:
            self._tokens.put(caller.credential, found)
        return self._caller(found, request)

    def refused(self, request: Request) -> None:
        """Forgets the credential, which is not accepted any more."""
        if request.credential:
            self._tokens.pop(request.credential)

    def trusts(self, certificate: bytes | None) -> bool:
        """Whether this client certificate (DER) belongs to one of the platform's own servers, or to a front proxy of the
        operator's: they forward requests of others."""
        return certificate is not None and any(each.trusts(certificate) for each in self._headers)

    def _certified(self, request: Request, certificate: bytes) -> CredentialOwner | None:
        for headers in self._headers:
            user = headers.authenticate_request(request)
            if user is not None:
                return credential_owner(user)
        if self._certificates is not None:
            user = self._certificates.authenticate_request(request)
            if user is not None:
                return credential_owner(user)
        return None

    def _caller(self, found: CredentialOwner, request: Request) -> Caller:
        if found.exempt:
            return PLATFORM
        return Caller((f"cluster {found.home or _short(self._tenant_of(request.path))}", found.user))


def _short(name: str) -> str:
    """The name itself, or the SHA-256 of a long one. Users and paths may have any length, and owners are kept in memory."""
    return name if len(name) <= _LONGEST_NAME else hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
