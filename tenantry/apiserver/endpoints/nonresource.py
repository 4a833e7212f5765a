"""Paths of a scope that are not resources: discovery, OpenAPI, version, health and the token issuer."""

from __future__ import annotations

from tenantry.apiserver.endpoints import discovery, openapi
from tenantry.apiserver.endpoints.health import KINDS, Health
from tenantry.apiserver.endpoints.issuer import IssuerEndpoint
from tenantry.apiserver.endpoints.plain import json, page_not_found
from tenantry.apiserver.endpoints.version import VersionEndpoint
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Scope
from tenantry.http.messages import Response
from tenantry.kube.api_set import ApiSet

_ALWAYS = (
    "/.well-known/openid-configuration",
    "/api",
    "/apis",
    "/apis/",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
)


class Endpoints:
    """Serves them. `issuer` is None where no service account tokens are issued."""

    def __init__(self, health: Health, version: VersionEndpoint, issuer: IssuerEndpoint | None) -> None:
        self._health = health
        self._version = version
        self._issuer = issuer

    async def serve(self, request: Request, scope: Scope, apis: ApiSet, path: str) -> Response:
        """The answer to an authorized request for `path`, relative to the scope. `apis`: those of the scope. Raises
        StatusError."""
        segments = path.strip("/").split("/")
        first = segments[0]
        if first in ("api", "apis"):
            return await discovery.serve(request, scope.listed(apis), segments)
        if first == "openapi":
            return await openapi.serve(request, apis, segments, prefix=request.path.removesuffix(path))
        if first == "version" and len(segments) == 1:
            return self._version.serve(request)
        if first in KINDS:
            return self._health.serve(request, path)
        if first in (".well-known", "openid") and self._issuer is not None:
            return self._issuer.serve(request, path)
        if not first:
            return json({"paths": paths(apis)})
        return page_not_found()


def paths(apis: ApiSet) -> list[str]:
    """The paths that `/` lists."""
    found = set(_ALWAYS)
    for group, versions in apis.groups().items():
        if group:
            found.add(f"/apis/{group}")
        found.update(f"/apis/{group}/{version}" if group else f"/api/{version}" for version in versions)
    return sorted(found)
