"""What interceptors of a gRPC server have in common: each method's handler is wrapped once, and not for each call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc


class WrappingInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Subclasses write `wrapped`."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        known = self._wrapped.get(details.method)
        if known is not None:
            return known
        handler = await continuation(details)
        # Nothing is kept for a method that does not exist: clients choose the names.
        if handler is None:
            return None
        made = self._wrapped[details.method] = self.wrapped(handler, details.method)
        return made

    def wrapped(self, handler: Any, method: str) -> Any:
        """The handler to call in place of `handler`, an RpcMethodHandler; it may be the same."""
        raise NotImplementedError
