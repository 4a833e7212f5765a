"""`/version`: the version of Kubernetes whose API is served. Clients parse `gitVersion` as a semantic version."""

from __future__ import annotations

import platform
import sys

from tenantry.apiserver.endpoints.plain import json, method_not_allowed
from tenantry.apiserver.negotiation import require_json
from tenantry.apiserver.request import Request
from tenantry.http.messages import Response
from tenantry.kube import release


class VersionEndpoint:
    """`build` is this server's own version. It follows `+` in gitVersion, as build metadata of a semantic version."""

    def __init__(self, build: str = "dev") -> None:
        major, minor = str(release.MAJOR), str(release.MINOR)
        self._document = {
            "major": major,
            "minor": minor,
            "emulationMajor": major,
            "emulationMinor": minor,
            "minCompatibilityMajor": major,
            "minCompatibilityMinor": str(release.MINOR - 1),
            "gitVersion": f"v{release.MAJOR}.{release.MINOR}.{release.PATCH}+tenantry-{build}",
            "gitCommit": "",
            "gitTreeState": "",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": sys.implementation.name,
            "platform": f"{sys.platform}/{platform.machine()}",
        }

    def serve(self, request: Request) -> Response:
        """Raises StatusError 405, 406."""
        if request.method != "GET":
            raise method_not_allowed()
        require_json(request)
        return json(self._document)
