"""The interface for calls from one shard to another."""

from __future__ import annotations

from typing import Protocol

from tenantry.apiserver.request import Request
from tenantry.http.messages import Reply, Response
from tenantry.kube.status import internal


class Peers(Protocol):
    """Calls the shards that own other ranges."""

    async def call(self, range_name: str, request: Request) -> Reply:
        """Sends a request to the owner of a range. Its `user` is set, its `path` begins with `/clusters/` or `/services/`.

        Raises StatusError 503 if the owner cannot be reached.
        """
        ...


async def ask(peers: Peers, range_name: str, request: Request) -> Response:
    """The whole answer to a request of this process, which is neither a watch nor anything else that goes on. Raises StatusError:
    as `Peers.call`, and 500 for an answer that does."""
    reply = await peers.call(range_name, request)
    if not isinstance(reply, Response):
        raise internal(f"{request.method} {request.path} was answered with a stream")
    return reply
