"""Requests of this process for views that processes of their own serve."""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.apiserver.authentication.authenticator import RequestAuthenticator
from tenantry.apiserver.authentication.client_certificate import RequestHeaders
from tenantry.apiserver.forwarded import FROM_PEER
from tenantry.apiserver.request import Request
from tenantry.http.messages import Reply
from tenantry.placement.remote_peers import peer_head
from tenantry.placement.view_forwarding import ViewForwarding

_FROM_PEER = FROM_PEER.lower()


class RemoteViews:
    """What a shard does with requests for these views.

    `identities`: as in `RemotePeers`. `peers`: which certificates are those of shards and of processes of views.
    `body_bytes`: limit of a request body.
    """

    def __init__(
        self, forwarding: ViewForwarding, *, identities: Sequence[RequestAuthenticator], peers: RequestHeaders, body_bytes: int
    ) -> None:
        self._forwarding = forwarding
        self._identities = identities
        self._peers = peers
        self._body_bytes = body_bytes

    def is_from_peer(self, request: Request) -> bool:
        """Whether another shard or a process of views sent a request here, because this shard owns its range. It is not sent
        back."""
        if not request.header(_FROM_PEER):
            return False
        certificate = request.client_certificate
        return certificate is not None and self._peers.trusts(certificate)

    async def call(self, view: str, range_name: str, request: Request) -> Reply:
        """Raises StatusError, as `ViewForwarding.send`."""
        body = await request.read_body(self._body_bytes)
        head = peer_head(request, self._identities, len(body))
        return await self._forwarding.send(request, view, range_name, head + body)
