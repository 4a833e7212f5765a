"""The access log of an HTTP server of the API: a line for each request, with who asked."""

from __future__ import annotations

from tenantry.apiserver.request import Request
from tenantry.base.logs import AccessLog


class RequestLog:
    """`tenantry.http.server.RequestLog` that writes to `lines`."""

    def __init__(self, lines: AccessLog) -> None:
        self._lines = lines

    def record(self, request: Request, code: int, seconds: float) -> None:
        user, impersonator = request.user, request.impersonator
        self._lines.record(
            request_id=request.request_id,
            remote=request.remote,
            user=user.name if user is not None else "",
            impersonator=impersonator.name if impersonator is not None else "",
            verb=request.verb,
            method=request.method,
            path=request.path,
            code=code,
            seconds=seconds,
        )

    def flush(self) -> None:
        self._lines.flush()

    def close(self) -> None:
        self._lines.close()
