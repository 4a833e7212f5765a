"""What the shards of a platform ask of each other."""

from __future__ import annotations

from typing import Protocol

from tenantry.apiserver.request import Request
from tenantry.http.messages import Reply


class Peers(Protocol):
    """The way to the shards that own other ranges."""

    async def call(self, range_name: str, request: Request) -> Reply:
        """The answer of the range's owner to a request whose `user` is preset and whose `path` starts at `/clusters/…` or
        `/services/…`. Raises StatusError 503 where the owner cannot be reached."""
        ...
