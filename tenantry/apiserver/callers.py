"""For whom a request counts, as far as that can be known before anybody is authenticated.

Shares are given before a request costs anything. So credentials that were accepted a moment ago are remembered, by their hash.
All others, and all requests without credentials, count as one tenant, `NOBODY`: invented tokens and paths give nobody a larger
part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from tenantry.apiserver.authentication.client_certificate import ClientCertificates, RequestHeaders
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import ANONYMOUS, CLUSTER_NAME_EXTRA, SERVICE_ACCOUNT_PREFIX, User
from tenantry.base.cache import Cache
from tenantry.http.callers import NOBODY, WITHOUT_CREDENTIALS, Caller

_REMEMBERED_BYTES = 8 << 20
_LONGEST_NAME = 128
_NOT_ACCEPTED = frozenset((401, 429, 502, 503, 504))
"""Answers that do not show that a credential was accepted."""


PLATFORM = Caller((), exempt=True)


class Known(NamedTuple):
    """Whose credential it is. `home`: the logical cluster for which its requests count wherever they go; empty for users who
    belong to none."""

    user: str
    home: str
    exempt: bool


def known(user: User) -> Known:
    """An authenticated user. A service account counts for its own cluster, which can make any number of them."""
    home = ""
    name = user.name
    if name.startswith(SERVICE_ACCOUNT_PREFIX):
        home = next(iter(user.extra_values(CLUSTER_NAME_EXTRA)), "")
        name = f"{home}/{name}"
    return Known(f"user {_short(name)}", _short(home), user.is_master)


class Callers:
    """`tenantry.http.callers.Callers` of the API.

    `tenant_of` says which logical cluster a path is about, by any spelling the same; empty where it is about none.

    `home_of` says to which logical cluster a token belongs that another server accepted; None where the token does not show it.
    `certificates` and `headers` authenticate callers with client certificates, and those whom front proxies name.
    """

    def __init__(
        self,
        tenant_of: Callable[[str], str] = lambda path: "",
        *,
        home_of: Callable[[Request], str | None] = lambda request: None,
        certificates: ClientCertificates | None = None,
        headers: RequestHeaders | None = None,
    ) -> None:
        self._tenant_of = tenant_of
        self._home_of = home_of
        self._certificates = certificates
        self._headers = headers
        self._tokens: Cache[bytes, Known] = Cache("callers", bytes_max=_REMEMBERED_BYTES)

    def of(self, request: Request) -> Caller:
        """Before the request is authenticated."""
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
            return Caller((NOBODY, credential), False, False, credential)
        return self._caller(found, request)

    def answered(self, caller: Caller, request: Request, status: int) -> Caller:
        """Who it turned out to be, once it was answered. Called where it was not proven."""
        user = request.impersonator or request.user
        if user is not None and user.name != ANONYMOUS:
            found = known(user)
        elif user is None and caller.credential and status not in _NOT_ACCEPTED:
            # Another server accepted it.
            found = Known(f"token {caller.credential.hex()}", _short(self._home_of(request) or ""), False)
        else:
            return caller
        if caller.credential:
            self._tokens.put(caller.credential, found)
        return self._caller(found, request)

    def refused(self, request: Request) -> None:
        """The credential is not accepted any more."""
        if request.credential:
            self._tokens.pop(request.credential)

    def trusts(self, certificate: bytes | None) -> bool:
        """Whether a connection with this certificate is one of the platform's own servers, which pass on requests of others."""
        return certificate is not None and self._headers is not None and self._headers.trusts(certificate)

    def _certified(self, request: Request, certificate: bytes) -> Known | None:
        headers = self._headers
        if headers is not None and request.headers.get("x-remote-user") is not None:
            user = headers.authenticate_request(request)
            if user is not None:
                return known(user)
        if self._certificates is not None:
            user = self._certificates.authenticate_request(request)
            if user is not None:
                return known(user)
        return None

    def _caller(self, found: Known, request: Request) -> Caller:
        if found.exempt:
            return PLATFORM
        return Caller((f"cluster {found.home or _short(self._tenant_of(request.path))}", found.user))


def _short(name: str) -> str:
    """A name, or the hash of a long one: users and paths may have any length, and owners are remembered."""
    return name if len(name) <= _LONGEST_NAME else hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
