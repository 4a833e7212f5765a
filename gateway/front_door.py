"""The HTTP front door: each request goes to the shard that owns the range it is about.

In one process a backend is a shard's own pipeline; between processes it will be a connection to it. Either way the front door
only routes: the shard authenticates, authorizes and answers, also to requests about things that do not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tenantry.apiserver.http import Handler, Reply, Request
from tenantry.kube.status import StatusError, unavailable
from tenantry.tenancy.directory import Directory
from tenantry.tenancy.well_known import ROOT

_CLUSTERS = "/clusters/"
_RANGES = "/ranges/"


class FrontDoor:
    """A request handler. `backends` maps shard names to handlers; `token_cluster` tells which cluster a bearer token is of."""

    def __init__(
        self, directory: Directory, backends: Mapping[str, Handler], *, token_cluster: Callable[[Request], str | None]
    ) -> None:
        self._directory = directory
        self._backends = backends
        self._token_cluster = token_cluster

    async def __call__(self, request: Request) -> Reply:
        return await self._backend(request)(request)

    def _backend(self, request: Request) -> Handler:
        if len(self._backends) == 1:
            return next(iter(self._backends.values()))
        shard = self._shard(request)
        backend = self._backends.get(shard)
        if backend is None:
            raise unavailable(f"shard {shard or 'of this tenant'} is not reachable at the moment")
        return backend

    def _shard(self, request: Request) -> str:
        path = request.path
        if path.startswith(_CLUSTERS):
            return self._owner(path[len(_CLUSTERS) :].partition("/")[0])
        if path.startswith(_RANGES):
            name = path[len(_RANGES) :].partition("/")[0]
            found = next((r for r in self._directory.registry.ranges() if r.name == name), None)
            return found.shard if found is not None else self._owner(ROOT)
        return self._owner(self._token_cluster(request) or ROOT)

    def _owner(self, tenant: str) -> str:
        """The shard of a path or id; where there is none, root's, which has the right words for that."""
        try:
            return self._directory.resolve(tenant).shard
        except StatusError:
            return self._directory.locate(ROOT).shard
