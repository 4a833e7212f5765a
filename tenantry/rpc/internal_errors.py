"""Unexpected errors of handlers: the caller learns that there was one, but no internal details."""

from __future__ import annotations

import logging
from typing import Any

import grpc

from tenantry.base.loop_turns import in_steps
from tenantry.rpc.error_details import reason, refuse
from tenantry.rpc.wrapping import WrappingInterceptor

logger = logging.getLogger(__name__)


class InternalErrors(WrappingInterceptor):
    """Answers INTERNAL if a unary call raises, and logs the error. grpc.aio itself would answer UNKNOWN with the exception's
    text.

    Streams are not wrapped: they rarely raise, and a wrapper would make each message slower.
    """

    def wrapped(self, handler: Any, method: str) -> Any:
        if handler.unary_unary is None:
            return handler
        answer = handler.unary_unary

        async def guarded(request: Any, context: Any) -> Any:
            try:
                return await in_steps(answer(request, context), (method,))
            except grpc.aio.AbortError:
                raise
            except Exception:  # its text is not for callers
                logger.exception("a call failed", extra={"method": method})
                text = "an internal error occurred; the log of the server has the cause"
                await refuse(context, grpc.StatusCode.INTERNAL, text, reason("INTERNAL"))

        return handler._replace(unary_unary=guarded)
