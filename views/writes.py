"""Reads are served here, from memory; writes are sent to the owners of their ranges."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tenantry.apiserver.negotiation import error_response
from tenantry.apiserver.request import Request
from tenantry.apiserver.request_info import RequestInfo
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.user import User
from tenantry.apiserver.verbs.serve import serve
from tenantry.http.messages import Reply
from tenantry.http.upstream_connection import Answer, UpstreamConnection, UpstreamError
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.status import StatusError
from tenantry.placement.forwarding import Forwarding
from tenantry.placement.range_map import RangeMap
from tenantry.placement.remote_peers import peer_head
from tenantry.virtual.view import READ_VERBS

_READ_VERBS = frozenset(READ_VERBS)


class OwnersWrite:
    """Runs the verb of a request that the view has authorized: `Pipeline`'s `serve`.

    The owner gets a write whole, as the same user. It authorizes it once more, by the view that is installed there, and applies
    admission: only its memory shows what the write is compared with. `answer_seconds`: how long it may take. `body_bytes`: limit
    of a body.
    """

    def __init__(self, owners: Forwarding, range_map: RangeMap, *, answer_seconds: float, body_bytes: int) -> None:
        self._owners = owners
        self._map = range_map
        self._answer_seconds = answer_seconds
        self._body_bytes = body_bytes

    @staticmethod
    def passes_on(info: RequestInfo) -> bool:
        """Whether another process answers a request."""
        return info.is_resource and info.verb not in _READ_VERBS

    async def __call__(
        self, request: Request, scope: Scope, user: User, info: RequestInfo, definition: ResourceDefinition, version: Version
    ) -> Reply:
        if not self.passes_on(info):
            return await serve(request, scope, user, info, definition, version)
        range_ = scope.range
        try:
            return await self._send(request, (range_.base or range_).name, user)
        except StatusError as error:
            return error_response(error, request)

    async def _send(self, request: Request, range_name: str, user: User) -> Reply:
        path = request.path if request.path.startswith("/ranges/") else f"/ranges/{range_name}{request.path}"
        body = await request.read_body(self._body_bytes)
        sent = peer_head(replace(request, path=path, user=user), (), len(body)) + body

        async def exchange(connection: UpstreamConnection) -> Answer:
            try:
                async with asyncio.timeout(self._answer_seconds):
                    return await connection.exchange(sent)
            except TimeoutError:
                raise UpstreamError(f"no answer in {self._answer_seconds:g} seconds", sent=True) from None

        return await self._owners.send(request, lambda: self._map.named(range_name), exchange)
