"""Routes HTTP requests to the shards of the same process (`tenantry start`). `proxy.py` does it between processes.

It only routes. The shard authenticates, authorizes and answers, also if the tenant does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.routing import Router
from tenantry.apiserver.request import Handler, Request
from tenantry.http.messages import Reply
from tenantry.kube.status import unavailable
from tenantry.placement.paths.directory import Directory


class LocalProxy:
    """A request handler. `backends`: shard name → handler. `token_cluster`: returns the cluster id in a bearer token."""

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
