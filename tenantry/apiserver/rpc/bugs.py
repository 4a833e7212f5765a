"""What a caller is told of an error that nobody expected: that it happened, and nothing of the inside."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from tenantry.apiserver.rpc.refusals import reason, refuse
from tenantry.loop_turns import in_steps

logger = logging.getLogger(__name__)


class Bugs(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Answers INTERNAL where a unary call raises, and logs why; grpc.aio itself answers UNKNOWN with the exception's text.

    Streams are left alone: theirs are few, and a wrapper would cost each message.
    """

    def __init__(self) -> None:
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], details: Any) -> Any:
        wrapped = self._wrapped.get(details.method)
        if wrapped is not None:
            return wrapped
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler
        answer = handler.unary_unary

        async def guarded(request: Any, context: Any) -> Any:
            try:
                return await in_steps(answer(request, context), (details.method,))
            except grpc.aio.AbortError:
                raise
            except Exception:  # whatever it is, its text is not for callers
                logger.exception("a call failed", extra={"method": details.method})
                text = "an error inside the server; its log has the cause"
                await refuse(context, grpc.StatusCode.INTERNAL, text, reason("INTERNAL"))

        wrapped = self._wrapped[details.method] = handler._replace(unary_unary=guarded)
        return wrapped
