"""Calls to other shards over HTTPS with mutual TLS. The caller's identity is in headers. Streams are relayed as they arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from tenantry.apiserver.authentication.authenticator import RequestAuthenticator
from tenantry.apiserver.forwarded import FROM_PEER, request_head
from tenantry.apiserver.request import Handler, Request
from tenantry.apiserver.storage_errors import not_owner
from tenantry.apiserver.user import User
from tenantry.http.messages import Reply, Response
from tenantry.http.upstream_connection import Answer, UpstreamConnection, UpstreamError
from tenantry.kube.status import internal
from tenantry.placement.forwarding import Forwarding
from tenantry.placement.map import RangeInfo
from tenantry.placement.range_map import RangeMap
from tenantry.placement.shard_connections import ShardConnections

ANSWER_BYTES_LIMIT = 64 << 20
"""Maximum size of an answer that this process reads itself. Answers that it relays to a client have no limit."""
_IMPERSONATION = "impersonate-"


class RemotePeers:
    """Implements `Peers` between processes.

    A request of this process has a `user`: it is sent as that user, and the complete answer is returned. A request of a client
    is sent with the identity that `identities` read from its certificate, or with its token unchanged; its answer is a Relay.

    `patience_seconds`: as in `Forwarding`. `answer_seconds`: limit until the answer begins. `body_bytes`: limit of a request
    body, which is read completely first, so that it can be sent again. `own(range)`: the handler if this shard owns the range.
    """

    def __init__(
        self,
        range_map: RangeMap,
        owners: ShardConnections,
        *,
        uid: str,
        own: Callable[[str], Handler | None],
        identities: Sequence[RequestAuthenticator],
        patience_seconds: float = 5.0,
        answer_seconds: float = 60.0,
        body_bytes: int = 3 << 20,
    ) -> None:
        self._map = range_map
        self._forwarding = Forwarding(owners, patience_seconds=patience_seconds)
        self._uid = uid
        self._own = own
        self._identities = identities
        self._answer_seconds = answer_seconds
        self._body_bytes = body_bytes

    async def call(self, range_name: str, request: Request) -> Reply:
        """Raises StatusError: 503 if the owner is unknown or cannot be reached, 502 if its connection ended during a write."""
        if request.header(FROM_PEER.lower()):
            # Otherwise two shards that each take the other one for the owner would forward it in a loop.
            raise not_owner(f"range {range_name} is not owned by this shard")
        if (handler := self._own(range_name)) is not None:
            # This shard acquired the range after the caller's look-up.
            return await handler(request)
        body = await request.read_body(self._body_bytes)
        sent = peer_head(request, self._identities, len(body)) + body

        async def exchange(connection: UpstreamConnection) -> Answer:
            return await self._exchange(connection, sent, request.method)

        async def take(answer: Answer) -> Reply | None:
            return await _whole(answer) if request.user is not None and not answer.chunked else None

        return await self._forwarding.send(request, lambda: self._owned_elsewhere(range_name), exchange, take=take)

    def __repr__(self) -> str:
        return f"<RemotePeers of {self._uid}>"

    def _owned_elsewhere(self, range_name: str) -> RangeInfo | None:
        info = self._map.named(range_name)
        if info is not None and info.owner == self._uid:
            raise not_owner(f"range {range_name} is not loaded yet")
        return info

    async def _exchange(self, connection: UpstreamConnection, sent: bytes, method: str) -> Answer:
        try:
            async with asyncio.timeout(self._answer_seconds):
                return await connection.exchange(sent, head_only=method == "HEAD")
        except TimeoutError:
            raise UpstreamError(f"no answer in {self._answer_seconds:g} seconds", sent=True) from None


def peer_head(request: Request, identities: Sequence[RequestAuthenticator], length: int) -> bytes:
    """The header lines of a request to another process of the platform that serves it. `identities`: authenticate a caller by its
    certificate, which the other process does not see. `length`: of the body, in bytes."""
    user: User | None = request.user
    if user is not None:
        # Impersonation was already applied.
        lowered = ((name.lower(), value) for name, value in request.headers.items())
        headers = {name: value for name, value in lowered if not name.startswith(_IMPERSONATION)}
        headers.pop("authorization", None)
        return request_head(replace(request, headers=headers), user, length=length, by_peer=True)
    for method in identities:
        user = method.authenticate_request(request)
        if user is not None:
            break
    return request_head(request, user, length=length, by_peer=True)


class _Gathered:
    """A RelaySink that collects what is written."""

    lags = False
    ending = False

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > ANSWER_BYTES_LIMIT:
            raise internal(f"a shard's answer has more than {ANSWER_BYTES_LIMIT} bytes")
        self.pieces.append(data)

    async def drain(self) -> None:
        pass

    def on_ending(self, callback: Callable[[], None]) -> None:
        pass


async def _whole(answer: Answer) -> Response:
    body = answer.body
    if answer.rest is not None:
        gathered = _Gathered()
        await answer.rest.pump(gathered)
        body = b"".join(gathered.pieces)
    content_type = answer.fields.get(b"content-type", b"application/json").decode("latin-1")
    return Response(answer.status, body, content_type)
