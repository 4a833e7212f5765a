"""A refusal as an answer: the Status object in the form that the client asked for."""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.apiserver.http import Request, Response
from tenantry.apiserver.negotiation import JSON, YAML, encode
from tenantry.kube.status import StatusError


def failure(error: StatusError, request: Request, warnings: Sequence[str] = ()) -> Response:
    """The answer for `error`, with its headers (Retry-After). Whoever asks for protobuf gets JSON, which every client reads."""
    media_type = _media_type(request.header("accept"))
    return Response(error.code, encode(error.to_object(), media_type), media_type, dict(error.headers), list(warnings))


def _media_type(accept: str) -> str:
    if YAML not in accept:
        return JSON
    for clause in accept.split(","):
        media_type = clause.partition(";")[0].strip()
        if media_type == YAML:
            return YAML
        if media_type in (JSON, "*/*", "application/*"):
            return JSON
    return JSON
