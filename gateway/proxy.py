"""Forwards HTTP requests to the shards that own their ranges, over mutual TLS.

A request body is read completely before it is forwarded, so that it can be sent again and an incomplete body uses no slot of a
shard. Answers are relayed as they arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.routing import Router
from tenantry.apiserver.authentication.authenticator import RequestAuthenticator
from tenantry.apiserver.endpoints.health import KINDS, Health
from tenantry.apiserver.forwarded import request_head
from tenantry.apiserver.request import Request
from tenantry.http.messages import Reply
from tenantry.http.upstream_connection import Answer, UpstreamConnection
from tenantry.kube.status import unauthorized
from tenantry.placement.forwarding import Forwarding
from tenantry.placement.view_forwarding import ViewForwarding

_BODY_LIMIT_BYTES = 1 << 30
"""No limit of its own: the HTTP server enforces the limit of a body."""
_BODILESS = frozenset(("GET", "HEAD"))


class Proxy:
    """A request handler. `identities`: authenticate client certificates, and the headers of front proxies, which no process
    behind this one sees. `hidden`: which headers (in lower case) are not passed on. `views`: the way to processes of views."""

    def __init__(
        self,
        router: Router,
        forwarding: Forwarding,
        *,
        identities: Sequence[RequestAuthenticator] = (),
        hidden: Callable[[str], bool] | None = None,
        health: Health,
        views: ViewForwarding,
    ) -> None:
        self._processes = views.connections.processes
        self._views = views
        self._router = router
        self._identities = tuple(identities)
        self._hidden = hidden
        self._health = health
        self._forwarding = forwarding

    async def __call__(self, request: Request) -> Reply:
        request.verb = request.method.lower()
        if request.path.strip("/").partition("/")[0] in KINDS:
            return self._health.serve(request, request.path)
        user = None
        if request.client_certificate is not None:
            found = (identities.authenticate_request(request) for identities in self._identities)
            user = request.user = next((each for each in found if each is not None), None)
        if user is None and request.malformed_token:
            raise unauthorized()
        sent = await self._sent(request)
        head = request_head(request, user, length=len(sent) if sent is not None else None, hidden=self._hidden)
        whole = head + sent if sent else head

        elsewhere = self._processes.names
        if elsewhere and (view := self._router.view_of(request.path)) in elsewhere:
            return await self._views.send(request, view, self._router.place_of(request.path), whole)

        async def exchange(connection: UpstreamConnection) -> Answer:
            return await connection.exchange(whole, head_only=request.method == "HEAD")

        return await self._forwarding.send(request, lambda: self._router.range_of(request), exchange)

    async def _sent(self, request: Request) -> bytes | None:
        """The body; None if there is none. The body of a GET or HEAD has no meaning and is not read."""
        headers = request.headers
        if request.method in _BODILESS or ("content-length" not in headers and "transfer-encoding" not in headers):
            return None
        return await request.read_body(_BODY_LIMIT_BYTES)
