"""Decides what is recorded of requests, and hands events to the backends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack

from prometheus_client.metrics_core import CounterMetricFamily, Metric

from tenantry.apiserver.audit.delivery import Delivery
from tenantry.apiserver.audit.trail import AuditTrail
from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.request import Request
from tenantry.base.metrics import Metrics
from tenantry.http.errors import OUT_OF_TIME, HandlerTimeout, HttpError
from tenantry.http.messages import Relay, Reply, Response, Sink, Stream
from tenantry.kube.audit.policy import COMPLETE, NONE, PANIC, RECEIVED, STARTED, Policy
from tenantry.kube.status import StatusError, internal

Annotate = Callable[[str], Mapping[str, str]]
"""What is recorded of a logical cluster, by its id."""


class Auditor:
    """The audit of one process. Its metrics have kube-apiserver's names."""

    def __init__(self, policy: Policy, deliveries: Sequence[Delivery]) -> None:
        self._policy = policy
        self._deliveries = deliveries
        self._events = 0
        self._refused = 0
        self._levels: dict[str, int] = {}

    def start(self) -> None:
        for delivery in self._deliveries:
            delivery.start()

    async def serve(self, stack: AsyncExitStack, metrics: Metrics) -> None:
        """Starts, and stops when `stack` ends."""
        stack.push_async_callback(self.stop)
        metrics.collectors.append(self.metrics)
        self.start()

    async def stop(self) -> None:
        await asyncio.gather(*(delivery.stop() for delivery in self._deliveries))

    async def begin(
        self,
        request: Request,
        attributes: Attributes,
        path: str,
        annotations_of: Annotate,
        *,
        authenticated: bool = True,
        may_pass_on: bool = False,
    ) -> None:
        """Sets `request.audit` if the request is recorded, and records that it was received. `path`: in the scope. `may_pass_on`:
        another process may come to answer it, and record it then; so nothing is recorded before this one has an answer. Raises
        StatusError 500 where a request cannot be recorded, but must be."""
        user = attributes.user
        recorded = self._policy.recorded(user, attributes)
        self._levels[recorded.level] = self._levels.get(recorded.level, 0) + 1
        if recorded.level == NONE:
            return
        request.audit = trail = AuditTrail(request, user, attributes, path, recorded, authenticated=authenticated)
        if attributes.cluster not in ("", "*"):
            trail.annotate(annotations_of(attributes.cluster))
        trail.waits = may_pass_on
        if not may_pass_on and not await self._record(trail, RECEIVED):
            self._refused += 1
            request.audit = None
            raise internal("failed to store audit event")

    async def end(self, request: Request, reply: Reply) -> Reply:
        """Records the answer. Returns it, or for a stream the one whose end is recorded, too. What another process answers is
        recorded there."""
        trail = request.audit
        if trail is None or isinstance(reply, Relay):
            return reply
        trail.impersonated = request.user if request.impersonator is not None else None
        trail.impersonation_constraint = request.impersonation_constraint
        if trail.waits:
            await self._record(trail, RECEIVED)
        if isinstance(reply, Stream):
            self._follow(trail, reply)
        else:
            trail.answered(reply)
            await self._record(trail, trail.last_stage)
        return reply

    def _follow(self, trail: AuditTrail, stream: Stream) -> None:
        """Has the stages of a stream recorded. The server may come to refuse it after all, for it has too many watches."""
        run = stream.run

        async def recorded(sink: Sink) -> None:
            trail.status = {"metadata": {}, "code": stream.status}
            try:
                await self._record(trail, STARTED)
                await run(sink)
            finally:
                self._add(trail, trail.last_stage)

        def dropped(answer: Response | None) -> None:
            if answer is None:
                trail.closed_early()
            else:
                trail.answered(answer)
            self._add(trail, trail.last_stage)

        stream.run, stream.dropped = recorded, dropped

    def failed(self, request: Request, error: BaseException, to_status: Callable[[HttpError], StatusError]) -> None:
        """Records the end of a request that has no answer yet: the server makes it, or the client has gone."""
        trail = request.audit
        if trail is None:
            return
        trail.impersonated = request.user if request.impersonator is not None else None
        trail.impersonation_constraint = request.impersonation_constraint
        if isinstance(error, asyncio.CancelledError) and OUT_OF_TIME in error.args:
            error = HandlerTimeout(OUT_OF_TIME)
        if isinstance(error, HttpError):
            trail.failed(to_status(error))
        elif isinstance(error, asyncio.CancelledError):
            trail.closed_early()
        else:
            trail.failed(internal(f"request {request.request_id} failed"))
        if trail.waits:
            self._add(trail, RECEIVED)
        is_bug = isinstance(error, Exception) and not isinstance(error, HttpError)
        self._add(trail, PANIC if is_bug else COMPLETE)

    def metrics(self) -> Iterator[Metric]:
        prefix = "apiserver_audit_"
        yield CounterMetricFamily(f"{prefix}event", "Audit events that were handed to the backends.", self._events)
        lost = CounterMetricFamily(f"{prefix}error", "Audit events that did not get to a backend.", labels=("plugin",))
        for delivery in self._deliveries:
            lost.add_metric((delivery.name,), delivery.lost)
        yield lost
        levels = CounterMetricFamily(f"{prefix}level", "Requests by their audit level.", labels=("level",))
        for level, number in self._levels.items():
            levels.add_metric((level,), number)
        yield levels
        yield CounterMetricFamily(
            f"{prefix}requests_rejected", "Requests refused because they could not be recorded.", self._refused
        )

    async def _record(self, trail: AuditTrail, stage: str) -> bool:
        """Records a stage. Waits where requests have to. Returns False if it could not be recorded, but must be."""
        waiting = self._add(trail, stage)
        strict = False
        for delivery, waiter in waiting:
            delivered = await waiter
            strict = strict or (delivery.is_strict and not delivered)
        return not strict

    def _add(self, trail: AuditTrail, stage: str) -> list[tuple[Delivery, asyncio.Future[bool]]]:
        event = trail.event(stage)
        if event is None:
            return []
        self._events += 1
        added = [(delivery, delivery.add(event)) for delivery in self._deliveries]
        return [(delivery, waiter) for delivery, waiter in added if waiter is not None]
