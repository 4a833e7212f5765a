"""Errors of requests that the server itself refuses. The `Refusal` function of the server makes their answers."""

from __future__ import annotations

OUT_OF_TIME = "the request took too long"
"""The message with which the server cancels a handler that did not answer in time. A client that goes away cancels without
one."""


class HttpError(Exception):
    """The server refuses a request. The text is for its client."""


class BadRequest(HttpError):
    """The request cannot be read, or is not valid in HTTP/1.1: 400."""


class BodyTimeout(HttpError):
    """The body did not arrive in time: 408."""


class BodyTooLarge(HttpError):
    """The body has more than `limit_bytes`: 413."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body of the request has more than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class TooManyRequests(HttpError):
    """A limit that clients share is reached: 429. The client may retry after `retry_after_seconds`."""

    def __init__(self, text: str, retry_after_seconds: int = 1) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class InternalError(HttpError):
    """The handler failed with an unexpected error: 500. The text contains no internal details."""


class HandlerTimeout(HttpError):
    """The handler did not answer in time: 504."""
