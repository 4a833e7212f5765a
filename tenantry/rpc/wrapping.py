"""The base class of gRPC interceptors that wrap the handler of each method once, not for each call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc


class WrappingInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """An interceptor that wraps handlers. Subclasses implement `wrapped`."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        known = self._wrapped.get(details.method)
        if known is not None:
            return known
        handler = await continuation(details)
        # Methods that do not exist are not remembered, because clients choose their names.
        if handler is None:
            return None
        made = self._wrapped[details.method] = self.wrapped(handler, details.method)
        return made

    def wrapped(self, handler: Any, method: str) -> Any:
        """The handler to call in place of `handler`, an RpcMethodHandler; it may be the same."""
        raise NotImplementedError
