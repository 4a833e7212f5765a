"""The HTTP front door in one process: each request goes to the shard that owns the range it is about.

It only routes: the shard authenticates, authorizes and answers, also to requests about things that do not exist. Between
processes `proxy` takes its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.routing import Router
from tenantry.apiserver.request import Handler, Request
from tenantry.http.messages import Reply
from tenantry.kube.status import unavailable
from tenantry.placement.paths.directory import Directory


class FrontDoor:
    """A request handler. `backends` maps shard names to handlers; `token_cluster` returns the cluster that a bearer
    token is of."""

    def __init__(
        self, directory: Directory, backends: Mapping[str, Handler], *, token_cluster: Callable[[Request], str | None]
    ) -> None:
        self._router = Router(directory, token_cluster=token_cluster)
        self._backends = backends

    async def __call__(self, request: Request) -> Reply:
        return await self._backend(request)(request)

    def _backend(self, request: Request) -> Handler:
        if len(self._backends) == 1:
            return next(iter(self._backends.values()))
        found = self._router.range_of(request)
        shard = found.shard if found is not None else ""
        backend = self._backends.get(shard)
        if backend is None:
            raise unavailable(f"shard {shard or 'of this tenant'} is not reachable at the moment")
        return backend
