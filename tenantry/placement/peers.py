"""What the shards of a platform ask of each other."""

from __future__ import annotations

from typing import Protocol

from tenantry.apiserver.request import Request
from tenantry.http.messages import Reply, Response
from tenantry.kube.status import internal


class Peers(Protocol):
    """The way to the shards that own other ranges."""

    async def call(self, range_name: str, request: Request) -> Reply:
        """The answer of the range's owner to a request whose `user` is preset and whose `path` starts at `/clusters/…` or
        `/services/…`. Raises StatusError 503 where the owner cannot be reached."""
        ...


async def ask(peers: Peers, range_name: str, request: Request) -> Response:
    """The whole answer to a request of this process, which is neither a watch nor anything else that goes on. Raises StatusError:
    as `Peers.call`, and 500 for an answer that does."""
    reply = await peers.call(range_name, request)
    if not isinstance(reply, Response):
        raise internal(f"{request.method} {request.path} was answered with a stream")
    return reply
