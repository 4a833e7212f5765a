"""Answers that are not Kubernetes objects."""

from __future__ import annotations

import orjson

from tenantry.apiserver.negotiation import TEXT
from tenantry.http.messages import Response
from tenantry.kube.status import StatusError


def text(body: str, code: int = 200) -> Response:
    return Response(code, body.encode(), TEXT, {"X-Content-Type-Options": "nosniff"})


def page_not_found() -> Response:
    """kube-apiserver's answer to a path without a handler."""
    return text("404 page not found\n", 404)


def json(value: object) -> Response:
    return Response(200, orjson.dumps(value))


def method_not_allowed() -> StatusError:
    """405 for a method that a path does not have."""
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", details={})
