"""What an authentication method returns, and the order in which the methods are asked."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

from tenantry.apiserver.authentication.json_web_tokens import CHARACTERS_MAX
from tenantry.apiserver.request import Request
from tenantry.apiserver.review_turns import NO_ASKER, Asker
from tenantry.apiserver.user import ANONYMOUS, UNAUTHENTICATED_GROUP, User, as_authenticated, is_known_in
from tenantry.base.cache import Cache
from tenantry.http.callers import UNAUTHENTICATED
from tenantry.kube.status import unauthorized

_CLUSTERS = "/clusters/"
_CLUSTER_CHARACTERS = 128
ANONYMOUS_USER = User(ANONYMOUS, (UNAUTHENTICATED_GROUP,))


class InvalidToken(Exception):
    """A token that its issuer refuses; the text is shown in a TokenReview, never the token."""


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """The user that a token belongs to. `audiences` are those of the requested audiences that the token is valid for. `expires`:
    when it ends, in Unix time, where that is known. `objects`: the uids of what it ends with."""

    user: User
    audiences: tuple[str, ...]
    expires: float = inf
    objects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Known:
    """The result for a token, until `until`. No user: it was refused."""

    until: float
    user: User | None = None
    objects: tuple[str, ...] = ()


class TokenAuthenticator(Protocol):
    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenIdentity | None:
        """The identity. None where the token is not of this kind. Raises InvalidToken for a token of this kind that is not
        valid."""
        ...


class RemoteTokenAuthenticator(Protocol):
    """A TokenAuthenticator that may ask another server, where askers take turns."""

    async def authenticate_token(self, token: str, audiences: Sequence[str], asker: Asker) -> TokenIdentity | None: ...


class RequestAuthenticator(Protocol):
    def authenticate_request(self, request: Request) -> User | None:
        """The user. None where the request has no credentials of this kind, or where this method does not trust their issuer."""
        ...


class Authenticator(Protocol):
    """Authenticates requests and reviews tokens."""

    async def authenticate(self, request: Request, cluster: str | None) -> User | None:
        """The caller in logical cluster `cluster` (None: not a single cluster). None where the request has no credentials and
        anonymous requests are off. Raises StatusError 401 for credentials that are not valid."""
        ...

    async def review(self, token: str, audiences: Sequence[str], *, request: Request | None = None) -> TokenIdentity:
        """The identity for a TokenReview. Empty `audiences` stand for the server's own. `request`: for which it is asked. Its
        place has another one while another server is asked. Raises InvalidToken."""
        ...


class UnionAuthenticator:
    """Asks client certificates and the front proxy's headers first, then bearer tokens, then anonymous: kube-apiserver's order.
    `remote_tokens` are asked after the other `tokens`, and may ask other servers. `anonymous_paths`: the only paths of anonymous
    requests, in a logical cluster or of the process; empty: all.

    The result for a valid token is cached for `valid_seconds`, that for a refused one for `invalid_seconds`, by the hash of the
    header. It counts only while `forget_object` was called for none of the objects that the token ends with.
    """

    def __init__(
        self,
        *,
        requests: Sequence[RequestAuthenticator] = (),
        tokens: Sequence[TokenAuthenticator] = (),
        remote_tokens: Sequence[RemoteTokenAuthenticator] = (),
        audiences: Sequence[str] = (),
        anonymous: bool = True,
        anonymous_paths: Collection[str] = (),
        valid_seconds: float = 10.0,
        invalid_seconds: float = 1.0,
        remembered_bytes: int = 8 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = tuple(requests)
        self._tokens = tuple(tokens)
        self._remote = tuple(remote_tokens)
        self._audiences = tuple(audiences)
        self._anonymous = ANONYMOUS_USER if anonymous else None
        self._anonymous_paths = frozenset(anonymous_paths)
        self._valid_seconds = valid_seconds
        self._invalid_seconds = invalid_seconds
        self._clock = clock
        self._known: Cache[bytes, _Known] = Cache("tokens", bytes_max=remembered_bytes)
        # One that is evicted from here is only looked up again. So a deletion costs one look-up in a dict.
        self._existing: Cache[str, bool] = Cache("token_objects", bytes_max=remembered_bytes)

    async def authenticate(self, request: Request, cluster: str | None) -> User | None:
        maybe_anonymous = True
        for method in self._requests:
            user = method.authenticate_request(request)
            if user is not None:
                if is_known_in(user, cluster):
                    return user
                # It may have a token too, but it is not anonymous.
                maybe_anonymous = False
        if request.malformed_token:
            raise unauthorized()
        credential = request.credential
        if not credential:
            return self._nobody(request) if maybe_anonymous else None
        now = self._clock()
        cached = self._known.get(credential)
        if cached is not None and cached.until > now and self._exist(cached.objects):
            user = cached.user
        else:
            token = bearer_token(request)
            if not token:
                return self._nobody(request) if maybe_anonymous else None
            user = await self._token_user(token, credential, now, request)
        if user is None:
            raise unauthorized()
        return user

    async def review(self, token: str, audiences: Sequence[str], *, request: Request | None = None) -> TokenIdentity:
        wanted = tuple(audiences) or self._audiences
        errors = ["invalid bearer token"]
        # A longer one comes in a TokenReview alone, and takes too long to be read.
        if len(token) <= CHARACTERS_MAX:
            for asked in self._asked(token, wanted, request):
                try:
                    identity = await asked
                except InvalidToken as error:
                    errors.append(str(error))
                    continue
                if identity is not None:
                    return replace(identity, user=as_authenticated(identity.user))
        raise InvalidToken(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")

    def _asked(self, token: str, audiences: Sequence[str], request: Request | None) -> Iterator[Awaitable[TokenIdentity | None]]:
        for method in self._tokens:
            yield method.authenticate_token(token, audiences)
        place = request.place if request is not None else None
        for remote in self._remote:
            asked = remote.authenticate_token(token, audiences, _asker(request) if request is not None else NO_ASKER)
            yield asked if place is None else place.away(asked)

    def forget(self) -> None:
        """Clears the cache, so that every token is checked again."""
        self._known.clear()

    def forget_object(self, uid: str) -> None:
        """Called when a service account or what a token may be bound to is deleted: tokens that end with it are checked again."""
        self._existing.pop(uid)

    def _exist(self, uids: Collection[str]) -> bool:
        return all(uid in self._existing for uid in uids)

    def _nobody(self, request: Request) -> User | None:
        """The user of a request without credentials."""
        if self._anonymous_paths and _path_in_cluster(request.path) not in self._anonymous_paths:
            return None
        return self._anonymous

    async def _token_user(self, token: str, credential: bytes, now: float, request: Request) -> User | None:
        try:
            identity = await self.review(token, self._audiences, request=request)
        except InvalidToken:
            self._known.put(credential, _Known(now + self._invalid_seconds))
            return None
        lifetime_seconds = min(self._valid_seconds, identity.expires - time.time())
        self._known.put(credential, _Known(now + lifetime_seconds, identity.user, identity.objects))
        for uid in identity.objects:
            self._existing.put(uid, True)
        return identity.user


def _asker(request: Request) -> Asker:
    """Who takes turns where another server is asked about a token: those for whom the request counts. Clients whose credentials
    were not accepted yet are one tenant, in which addresses take turns and, at one address (a gateway), the clusters that are
    called."""
    owners = request.place.owners if request.place is not None else (UNAUTHENTICATED,)
    if owners[:1] != (UNAUTHENTICATED,):
        return Asker(owners)
    called = request.path.removeprefix(_CLUSTERS).partition("/")[0][:_CLUSTER_CHARACTERS]
    return Asker((UNAUTHENTICATED,), (request.remote, (request.remote, called)))


def _path_in_cluster(path: str) -> str:
    """The path without `/clusters/<cluster>`."""
    if not path.startswith(_CLUSTERS):
        return path
    _, slash, rest = path[len(_CLUSTERS) :].partition("/")
    return slash + rest


def bearer_token(request: Request) -> str:
    """The token of `Authorization: Bearer …`, empty where there is none. Other schemes are ignored, as in kube-apiserver, and so
    is what follows a token."""
    header = request.headers.get("authorization")
    if not header:
        return ""
    parts = header.strip().split(" ", 2)
    return parts[1] if len(parts) > 1 and parts[0].lower() == "bearer" else ""
