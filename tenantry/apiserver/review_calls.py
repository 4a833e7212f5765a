"""Calls of webhooks that review tokens and access: a review is sent, and comes back with its status.

A call that may succeed later is repeated, with kube-apiserver's pauses: after a lost connection, and the codes 429, 500 and 504.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from tenantry.apiserver.kubeconfig_file import Endpoint, KubeconfigError, read_endpoint
from tenantry.apiserver.review_turns import NO_ASKER, Asker, ReviewTurns
from tenantry.http.calls import CallAnswer, CallFailed, Calls

TIMEOUT_SECONDS = 30.0
WHOLE_SECONDS = 60.0
"""For all attempts of one review."""
ANSWER_BYTES_MAX = 1 << 20
ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.5
_PAUSE_FACTOR = 1.5
_JITTER = 0.2
_RETRIED = frozenset((429, 500, 504))
_LOOK_SECONDS = 10.0
_SHOWN_CHARACTERS = 256

logger = logging.getLogger(__name__)


class ReviewFailed(Exception):
    """The webhook gave no usable answer; the text says why, and callers may see it. `answer`: the beginning of what it said, for
    logs. `timed_out`: it did not answer in time."""

    def __init__(self, text: str, *, answer: str = "", timed_out: bool = False) -> None:
        super().__init__(text)
        self.answer = answer
        self.timed_out = timed_out


class ReviewCalls:
    """A webhook. `path`: its kubeconfig, whose files are read again when they change; where the new ones cannot be used, the
    error is logged, and the previous ones stay in use. `observed`: is told of each attempt: `success`, `timeout`, `canceled` or
    `error`, and how many seconds it took."""

    def __init__(
        self,
        path: Path,
        endpoint: Endpoint,
        calls: Calls,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        observed: Callable[[str, float], None] = lambda result, seconds: None,
        pause: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._path = path
        self._endpoint = endpoint
        self._calls = calls
        self._timeout_seconds = timeout_seconds
        self._observed = observed
        self._pause = pause
        self._looked = time.monotonic()
        self._turns = ReviewTurns()

    async def send(self, kind: str, api_version: str, spec: dict[str, Any], *, asker: Asker = NO_ASKER) -> dict[str, Any]:
        """The status of the review that the webhook answers with. `asker`: who takes turns where many reviews are sent. Raises
        ReviewFailed."""
        body = orjson.dumps({"kind": kind, "apiVersion": api_version, "metadata": {}, "spec": spec, "status": {}})
        try:
            async with asyncio.timeout(WHOLE_SECONDS):
                return _status(await self._answered(body, asker), kind, api_version)
        except TimeoutError:
            raise ReviewFailed(f"no answer in {WHOLE_SECONDS:g} seconds", timed_out=True) from None

    async def _answered(self, body: bytes, asker: Asker) -> CallAnswer:
        pause_seconds = _FIRST_PAUSE_SECONDS
        for attempt in range(1, ATTEMPTS + 1):
            endpoint = await self._current()
            try:
                async with self._turns.turn(asker):
                    answer = await self._timed(endpoint, body)
            except CallFailed as error:
                if not error.reset or attempt == ATTEMPTS:
                    raise ReviewFailed(str(error), timed_out=error.timed_out) from None
            else:
                again = answer.status in _RETRIED or "retry-after" in answer.headers
                if 200 <= answer.status < 300:
                    return answer
                if not again or attempt == ATTEMPTS:
                    shown = answer.body[:_SHOWN_CHARACTERS].decode(errors="replace")
                    raise ReviewFailed(f"it answered {answer.status}", answer=shown, timed_out=answer.status == 504)
            await self._pause(pause_seconds * (1 + _JITTER * random.random()))
            pause_seconds *= _PAUSE_FACTOR
        raise AssertionError("the last attempt returns or raises")

    async def _timed(self, endpoint: Endpoint, body: bytes) -> CallAnswer:
        began, result = time.perf_counter(), "error"
        try:
            answer = await self._calls.send(
                "POST",
                endpoint.url,
                tls=endpoint.tls,
                headers={"Content-Type": "application/json", "Accept": "application/json", **endpoint.headers},
                body=body,
                server_name=endpoint.server_name,
                timeout_seconds=self._timeout_seconds,
                answer_bytes=ANSWER_BYTES_MAX,
            )
            result = "success" if 200 <= answer.status < 300 else "timeout" if answer.status == 504 else "error"
            return answer
        except CallFailed as error:
            result = "timeout" if error.timed_out else "error"
            raise
        except asyncio.CancelledError:
            result = "canceled"
            raise
        finally:
            self._observed(result, time.perf_counter() - began)

    async def _current(self) -> Endpoint:
        now = time.monotonic()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            try:
                if await asyncio.to_thread(self._endpoint.has_changed):
                    self._endpoint = await asyncio.to_thread(read_endpoint, self._path)
                    logger.info("reloaded the kubeconfig of a webhook", extra={"file": str(self._path)})
            except KubeconfigError as error:
                logger.error("%s; the previous one stays in use", error)
        return self._endpoint


def _status(answer: CallAnswer, kind: str, api_version: str) -> dict[str, Any]:
    try:
        review = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise ReviewFailed("its answer is not JSON") from None
    if not isinstance(review, dict) or review.get("kind") != kind or review.get("apiVersion") != api_version:
        raise ReviewFailed(f"its answer is no {kind} of {api_version}")
    status = review.get("status") or {}
    if not isinstance(status, dict):
        raise ReviewFailed(f"the status of its {kind} is no object")
    return status
