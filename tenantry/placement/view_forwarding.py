"""Forwards requests for views to the processes that serve them. Whatever these do, a request is answered in a bounded time."""

from __future__ import annotations

import asyncio

from tenantry.apiserver.forwarded import NOT_OWNER
from tenantry.apiserver.request import Request
from tenantry.http.messages import Relay, Reply
from tenantry.http.upstream_connection import Answer, UpstreamError
from tenantry.kube.status import StatusError, unavailable
from tenantry.placement.view_connections import Replica, ViewConnections

ANSWER_SECONDS = 10.0
UNANSWERED_MAX = 100
_READS = frozenset(("GET", "HEAD", "OPTIONS"))
_NOT_OWNER = NOT_OWNER.lower().encode()


class _Refused(Exception):
    """The process does not serve the request now, and did nothing."""


class ViewForwarding:
    """Sends requests to the process that has their range, and to another one if that one cannot be reached.

    `answer_seconds`: how long a process may take until its answer begins. `unanswered_max`: how many requests for one view wait
    for that at a time; more are refused, and so are those of a view that has as many as are left of twice that number, which all
    views share. So a view that hangs, or a process with all of them, holds a part of this process's requests only.
    """

    def __init__(
        self, connections: ViewConnections, *, answer_seconds: float = ANSWER_SECONDS, unanswered_max: int = UNANSWERED_MAX
    ) -> None:
        self.connections = connections
        self._answer_seconds = answer_seconds
        self._unanswered_max = unanswered_max
        self._unanswered: dict[str, int] = {}
        self._unanswered_in_all = 0
        self.failures = 0
        """How many attempts failed."""
        self.refused = 0
        """How many requests got 503 because no process answered."""

    async def send(self, request: Request, view: str, place: str, sent: bytes) -> Reply:
        """The answer to a request; `sent` is all of it, as it is sent. `place`: the name of its range, or any text that is the
        same for requests that need the same data.

        Raises StatusError: 503 with Retry-After if no process answers, 502 if the connection of a write ended before its answer.
        """
        waiting = self._unanswered.get(view, 0)
        if waiting >= min(self._unanswered_max, 2 * self._unanswered_max - self._unanswered_in_all):
            raise self._unavailable(view, f"{waiting} requests wait for its answers")
        self._unanswered[view] = waiting + 1
        self._unanswered_in_all += 1
        try:
            return await self._send(request, view, place, sent)
        finally:
            self._unanswered_in_all -= 1
            left = self._unanswered[view] - 1
            if left:
                self._unanswered[view] = left
            else:
                del self._unanswered[view]

    async def _send(self, request: Request, view: str, place: str, sent: bytes) -> Reply:
        loop = asyncio.get_running_loop()
        why = "no process serves it now"
        for replica in self.connections.candidates(view, place):
            began = loop.time()
            replica.asked(view, began)
            try:
                reply = await self._ask(replica, request, sent)
            except _Refused:
                why = f"{replica.process.name} is not ready"
            except UpstreamError as error:
                self.failures += 1
                replica.failed(view, began, loop.time())
                if error.sent and request.method not in _READS:
                    raise _unknown_outcome(view, error) from error
                why = str(error)
                if isinstance(error.__cause__, TimeoutError):
                    # Another one would take as long, and the client has waited enough.
                    break
            else:
                replica.answered(view, loop.time())
                return reply
        raise self._unavailable(view, why)

    async def _ask(self, replica: Replica, request: Request, sent: bytes) -> Reply:
        """Raises UpstreamError, _Refused."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                try:
                    answer = await self._exchange(replica, request, sent, fresh=False)
                except UpstreamError as error:
                    if error.sent and request.method not in _READS:
                        raise
                    # It may have closed an idle connection.
                    answer = await self._exchange(replica, request, sent, fresh=True)
        except TimeoutError as error:
            raise UpstreamError(f"no answer in {self._answer_seconds:g} seconds", sent=True) from error
        if answer.status == 503 and _NOT_OWNER in answer.fields:
            if answer.rest is not None:
                answer.rest.abort()
            raise _Refused
        return relay(request, answer)

    async def _exchange(self, replica: Replica, request: Request, sent: bytes, *, fresh: bool) -> Answer:
        connection = await replica.upstream.connection(fresh=fresh)
        return await connection.exchange(sent, head_only=request.method == "HEAD")

    def _unavailable(self, view: str, why: str) -> StatusError:
        self.refused += 1
        return unavailable(f"the view {view} is not served at the moment: {why}; try again")


def relay(request: Request, answer: Answer) -> Relay:
    """The answer of another process, passed on as it arrives."""
    rest = answer.rest
    if rest is None:
        return Relay(answer.status, answer.header, answer.body)
    if answer.chunked:
        request.verb = "watch"
    return Relay(answer.status, answer.header, b"", rest.pump, answer.chunked, rest.abort)


def _unknown_outcome(view: str, error: UpstreamError) -> StatusError:
    """502 without Retry-After: with it, client-go would repeat the write."""
    return StatusError(502, "", f"the view {view} did not answer; the request may or may not have been executed ({error})")
