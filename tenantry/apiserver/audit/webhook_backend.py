"""Sends audit events to a server, as EventLists (kube-apiserver's --audit-webhook-config-file)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence

from tenantry.apiserver.audit.delivery import DeliveryFailed
from tenantry.apiserver.audit.truncation import Truncation, line_of
from tenantry.apiserver.kubeconfig_file import Endpoint
from tenantry.http.calls import CallFailed, Calls
from tenantry.kube.audit.event import Event
from tenantry.kube.audit.policy import API_VERSION

ATTEMPTS = 5
_FACTOR, _JITTER = 1.5, 0.2
"""How pauses between attempts grow and differ, as in client-go's default for webhooks."""
_ANSWER_SECONDS = 30.0
_ANSWER_BYTES = 1 << 20
_HEAD = f'{{"kind":"EventList","apiVersion":"{API_VERSION}","metadata":{{}},"items":['.encode()
_BATCH_BYTES = 10 << 20
_UNFIT = "events are too large even after truncating, or cannot be encoded"
_KIND = f'"kind":"Event","apiVersion":"{API_VERSION}",'.encode()


class WebhookBackend:
    """`delivery.Backend` of a server. Every failure is tried again, after `backoff_seconds` and then longer: what is not
    delivered is lost. `truncation`: None for events of any size."""

    name = "webhook"

    def __init__(self, endpoint: Endpoint, calls: Calls, *, backoff_seconds: float, truncation: Truncation | None = None) -> None:
        self._endpoint = endpoint
        self._calls = calls
        self._backoff_seconds = backoff_seconds
        self._truncation = truncation

    async def write(self, events: Sequence[Event]) -> None:
        batches, lost = await asyncio.to_thread(self._encoded, events)
        why = _UNFIT
        for number, body in batches:
            try:
                await self._send(body)
            except CallFailed as error:
                lost, why = lost + number, f"the webhook does not take audit events: {error}"
        if lost:
            raise DeliveryFailed(why, lost)

    async def close(self) -> None:
        await self._calls.close()

    def _encoded(self, events: Sequence[Event]) -> tuple[list[tuple[int, bytes]], int]:
        """The batches, each with its number of events, and how many events are too large."""
        lines = [line_of(event, self._truncation) for event in events]
        kept = [line.replace(_KIND, b"", 1) for line in lines if line is not None]
        limit = self._truncation.batch_bytes if self._truncation is not None else _BATCH_BYTES
        batches = [(len(batch), _HEAD + b",".join(batch) + b"]}") for batch in _split(kept, limit)]
        return batches, len(lines) - len(kept)

    async def _send(self, body: bytes) -> None:
        endpoint = self._endpoint
        pause = self._backoff_seconds
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await self._calls.send(
                    "POST",
                    endpoint.url,
                    tls=endpoint.tls,
                    timeout_seconds=_ANSWER_SECONDS,
                    answer_bytes=_ANSWER_BYTES,
                    headers={"Content-Type": "application/json", **endpoint.headers},
                    body=body,
                    server_name=endpoint.server_name,
                )
                if 200 <= answer.status < 300:
                    return
                raise CallFailed(f"the server answered with {answer.status}")
            except CallFailed:
                if attempt == ATTEMPTS:
                    raise
            await asyncio.sleep(pause * (1 + _JITTER * random.random()))
            pause *= _FACTOR


def _split(lines: Sequence[bytes], limit_bytes: int) -> Iterator[list[bytes]]:
    """Batches of at most `limit_bytes`, or of one line."""
    batch: list[bytes] = []
    size = 0
    for line in lines:
        if batch and size + len(line) > limit_bytes:
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch
