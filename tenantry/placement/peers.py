"""The interface for calls from one shard to another."""

from __future__ import annotations

from typing import Protocol

from tenantry.apiserver.request import Request
from tenantry.http.messages import Reply


class Peers(Protocol):
    """Calls the shards that own other ranges."""

    async def call(self, range_name: str, request: Request) -> Reply:
        """Sends a request to the owner of a range. Its `user` is set, its `path` begins with `/clusters/` or `/services/`.

        Raises StatusError 503 if the owner cannot be reached.
        """
        ...
