"""What the server refuses by itself. Who gives it a handler says how such an error is answered (`Refusal` of the server)."""

from __future__ import annotations


class HttpError(Exception):
    """A request that the server refuses; the text is for its client."""


class BadRequest(HttpError):
    """The request cannot be read, or asks for what HTTP/1.1 does not allow: 400."""


class BodyTimeout(HttpError):
    """The body did not come in the time that it may take: 408."""


class BodyTooLarge(HttpError):
    """The body has more than `limit_bytes`: 413."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the body of the request has more than {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class TooManyRequests(HttpError):
    """A limit that clients share is reached: 429. The client may come again after `retry_after_seconds`."""

    def __init__(self, text: str, retry_after_seconds: int = 1) -> None:
        super().__init__(text)
        self.retry_after_seconds = retry_after_seconds


class InternalError(HttpError):
    """The handler failed by an error that nobody foresaw: 500. The text says nothing of the inside."""


class HandlerTimeout(HttpError):
    """The handler gave no answer in the time that a request may take: 504."""
