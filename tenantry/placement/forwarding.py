"""Forwards requests to the shard that owns their range, and retries them.

These are retried for a bounded time: requests that were not sent, reads, and requests that a shard refused because it does not
own the range (`NOT_OWNER`). A write that was sent and not answered may have been executed, so it is not retried: its client
gets an error that says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tenantry.apiserver.forwarded import NOT_OWNER
from tenantry.apiserver.request import Request
from tenantry.base.backoff import Backoff
from tenantry.http.messages import Relay, RelaySink, Reply
from tenantry.http.upstream_connection import Answer, UpstreamConnection, UpstreamError
from tenantry.kube.status import StatusError, unavailable
from tenantry.placement.map import RangeInfo
from tenantry.placement.shard_connections import ShardConnections, Use

_FIRST_RETRY_SECONDS = 0.02
_LAST_RETRY_SECONDS = 0.25
_READS = frozenset(("GET", "HEAD", "OPTIONS"))
_NOT_OWNER = NOT_OWNER.lower().encode()

Exchange = Callable[[UpstreamConnection], Awaitable[Answer]]
"""Sends the request on a connection. Raises UpstreamError."""
Take = Callable[[Answer], Awaitable[Reply | None]]
"""Makes a reply from an answer while its connection is in use; None: the answer is relayed as it arrives."""


class _NotServed(Exception):
    """The shard of the range does not serve it, and did nothing."""


class Forwarding:
    """Forwards requests. `patience_seconds`: how long a request waits until its range has an owner that serves it."""

    def __init__(self, owners: ShardConnections, *, patience_seconds: float) -> None:
        self._owners = owners
        self._patience_seconds = patience_seconds
        self.retries = 0
        """Number of attempts after the first one of a request."""
        self.unknown_outcomes = 0
        """Number of writes whose connection ended before the answer: it is unknown whether they were executed."""

    async def send(
        self,
        request: Request,
        find: Callable[[], RangeInfo | None],
        exchange: Exchange,
        *,
        take: Take | None = None,
    ) -> Reply:
        """Sends a request. `find` returns the range; it is called before each attempt.

        Raises StatusError: 503 if no shard serves the range in time, 502 if the connection ended during a write.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_seconds
        backoff: Backoff | None = None
        fresh = False
        generation = 0
        while True:
            info = find()
            if info is not None and info.generation != generation:
                # Restart the back-off: a new owner serves soon.
                generation, backoff = info.generation, None
            why = "no shard owns it"
            at_once = False
            if info is not None:
                try:
                    return await self._attempt(info, request, exchange, take, fresh)
                except UpstreamError as error:
                    if error.sent and request.method not in _READS:
                        self.unknown_outcomes += 1
                        raise _unknown_outcome(info, error) from error
                    why = str(error)
                    # The shard closed an idle connection: retry at once on a new one.
                    at_once = error.sent and not fresh
                    fresh = True
                except _NotServed:
                    why = f"shard {info.shard} does not serve it" if info.shard else why
            if loop.time() >= deadline:
                name = info.name if info is not None else "of this tenant"
                raise unavailable(f"range {name} is not served at the moment: {why}")
            self.retries += 1
            if not at_once:
                # The back-off has jitter, because many requests wait for the same owner.
                backoff = backoff or Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
                await self._owners.changed(backoff.next_seconds())

    async def _attempt(self, info: RangeInfo, request: Request, exchange: Exchange, take: Take | None, fresh: bool) -> Reply:
        """Raises UpstreamError, StatusError; _NotServed if the request was not executed and may be retried."""
        upstream = self._owners.of(info)
        if upstream is None:
            raise _NotServed
        connection = await upstream.connection(fresh=fresh)
        use = self._owners.begin(info, connection)
        kept = False
        try:
            answer = await exchange(connection)
            if answer.status == 503 and _NOT_OWNER in answer.fields:
                if answer.rest is not None:
                    answer.rest.abort()
                raise _NotServed
            taken = await take(answer) if take is not None else None
            if taken is not None:
                return taken
            kept = answer.rest is not None
            return self._relay(request, answer, use)
        finally:
            if not kept:
                self._owners.end(use)

    def _relay(self, request: Request, answer: Answer, use: Use) -> Relay:
        rest = answer.rest
        if rest is None:
            return Relay(answer.status, answer.header, answer.body)
        if answer.chunked:
            request.verb = "watch"

        async def run(sink: RelaySink) -> bool:
            try:
                return await rest.pump(sink)
            finally:
                self._owners.end(use)

        def close() -> None:
            rest.abort()
            self._owners.end(use)

        return Relay(answer.status, answer.header, b"", run, answer.chunked, close)


def _unknown_outcome(info: RangeInfo, error: UpstreamError) -> StatusError:
    """502 without Retry-After: with it, client-go would repeat the write."""
    return StatusError(502, "", f"shard {info.shard} did not answer; the request may or may not have been executed ({error})")
