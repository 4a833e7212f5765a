"""How errors are answered: as a metav1.Status."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from tenantry.apiserver.negotiation import error_response
from tenantry.apiserver.request import Request
from tenantry.http.errors import BadRequest, BodyTimeout, BodyTooLarge, HandlerTimeout, HttpError, TooManyRequests
from tenantry.http.messages import Response
from tenantry.kube import status
from tenantry.kube.status import StatusError

logger = logging.getLogger(__name__)


def to_status(error: HttpError) -> StatusError:
    """The StatusError for an error of the HTTP server, with kube-apiserver's text."""
    text = str(error)
    if isinstance(error, TooManyRequests):
        return status.too_many_requests(text, error.retry_after_seconds)
    if isinstance(error, BodyTooLarge):
        return status.too_large(error.limit_bytes)
    if isinstance(error, BodyTimeout):
        return StatusError(408, "Timeout", text)
    if isinstance(error, BadRequest):
        return status.bad_request(text)
    if isinstance(error, HandlerTimeout):
        return status.timeout("Timeout: request did not complete within the allotted timeout")
    return status.internal(text)


def status_response(error: StatusError | HttpError, request: Request, warnings: Iterable[str] = ()) -> Response:
    """`error_response`, also for errors of the HTTP server."""
    return error_response(to_status(error) if isinstance(error, HttpError) else error, request, warnings)


def failed_view(request: Request, error: Exception) -> StatusError:
    """Logs an error that a method of a view raised. Returns what the client gets, without the text of the error."""
    logger.error(
        "a request to a view failed",
        extra={"view": request.view, "requestID": request.request_id, "method": request.method, "path": request.path},
        exc_info=error,
    )
    return status.internal(f"the view {request.view} failed")


def refusal(error: Exception, request: Request) -> Response | None:
    """The answer to an error of the HTTP server or of a handler. None for an error that is a bug."""
    return status_response(error, request) if isinstance(error, StatusError | HttpError) else None
