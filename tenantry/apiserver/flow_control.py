"""Carries out priority and fairness (KEP-1040) inside the share of one tenant.

    authorized request ──► its FlowSchema's level has a seat, and none waits before it? ──► runs
                                       │ no
                                       ▼
                  a queue of the level, dealt by user or namespace ──► the least served is next; 429 if it is full, or too slow

How much one tenant gets of the server is decided before (`http.gate`), and no object of a tenant changes that. A tenant's levels
divide the largest share that one tenant may have. A request that waits here leaves its seat at the gate to others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator
from typing import Protocol

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.request import Request
from tenantry.base.fair_queue import FairQueue
from tenantry.base.metrics import Histogram
from tenantry.http.errors import TooManyRequests
from tenantry.kube.flowcontrol.levels import Held, Level, fits
from tenantry.kube.flowcontrol.plan import Flow, Plan
from tenantry.kube.flowcontrol.standard_objects import STANDARD_LEVELS, STANDARD_SCHEMAS
from tenantry.kube.status import PlainError

_OTHERS = "other"
"""The label of all schemas and levels that tenants make. Their names would be labels without a bound."""


class Plans(Protocol):
    """The plans of logical clusters."""

    standard: Plan
    """That of clusters which have no objects of their own."""

    @property
    def own(self) -> Container[str]:
        """The logical clusters that have some."""
        ...

    def of(self, cluster: str) -> Plan: ...


class _Queues:
    """The requests that wait for a level of one cluster."""

    __slots__ = ("lengths", "waiting")

    def __init__(self) -> None:
        self.waiting: FairQueue[tuple[asyncio.Future[None], Flow]] = FairQueue()
        self.lengths: dict[int, int] = {}
        """How many wait in each queue; empty ones are missing."""

    def ended(self, number: int) -> None:
        left = self.lengths[number] - 1
        if left:
            self.lengths[number] = left
        else:
            del self.lengths[number]


class FlowControl:
    """The seats of priority levels in all logical clusters of a process. Clusters without requests in progress take no memory."""

    def __init__(self, plans: Plans) -> None:
        self.plans = plans
        self._held: dict[str, dict[str, int]] = {}
        """Cluster → level → its requests in progress."""
        self._queues: dict[str, dict[str, _Queues]] = {}
        self._waiting: dict[tuple[str, str], int] = {}
        self._refused: dict[tuple[str, str, str], int] = {}
        """By labels, as `_counted`: level, schema, and for refusals the reason."""
        self._executed: dict[tuple[str, str], int] = {}
        self._waits: dict[tuple[str, str], Histogram] = {}

    def take_now(self, cluster: str, flow: Flow) -> bool:
        """Takes a seat of a flow's level, if one is free and no request waits for the level. Returns whether it did."""
        level = flow.level
        name = level.name
        held = self._held.get(cluster)
        if held is None:
            if level.nominal > 0 and cluster not in self._queues:
                self._held[cluster] = {name: 1}
                flow.dispatched += 1
                return True
            held = {}
        mine = held.get(name, 0)
        if mine >= level.least or cluster in self._queues:
            if name in self._queues.get(cluster, ()):
                return False
            plan = self.plans.of(cluster)
            if not fits(level, held, plan.levels, plan.seats):
                return False
        held[name] = mine + 1
        self._held[cluster] = held
        flow.dispatched += 1
        return True

    async def take(self, request: Request, cluster: str, flow: Flow, attributes: Attributes) -> None:
        """Waits for a seat of a flow's level. Raises StatusError 429."""
        level = flow.level
        if not level.queues:
            raise self._refusal(flow, "concurrency-limit")
        queues = self._queues.setdefault(cluster, {}).setdefault(level.name, _Queues())
        lengths = queues.lengths
        number = min(level.deal(flow.hash_of(attributes.user, attributes)), key=lambda each: lengths.get(each, 0))
        if lengths.get(number, 0) >= level.queue_length:
            raise self._refusal(flow, "queue-full")
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        queues.waiting.push((number,), (waiter, flow))
        lengths[number] = lengths.get(number, 0) + 1
        label = _labels(flow)
        self._waiting[label] = self._waiting.get(label, 0) + 1
        began = loop.time()
        try:
            if request.place is None:
                await waiter
            else:
                await request.place.wait(waiter)
        except BaseException as error:
            if queues.waiting.remove((number,), (waiter, flow)):
                queues.ended(number)
                self._tidy(cluster, level.name)
            elif waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.leave(cluster, flow)
            if isinstance(error, TooManyRequests):
                raise self._refusal(flow, "time-out") from error
            raise
        finally:
            self._waits.setdefault(label, Histogram()).observe(loop.time() - began)
            self._waiting[label] -= 1
            if not self._waiting[label]:
                del self._waiting[label]

    def leave(self, cluster: str, flow: Flow) -> None:
        """Gives a seat back."""
        held = self._held[cluster]
        name = flow.level.name
        left = held[name] - 1
        if left:
            held[name] = left
        elif len(held) == 1:
            del self._held[cluster]
        else:
            del held[name]
        if cluster in self._queues:
            self.admit(cluster)

    def admit(self, cluster: str) -> None:
        """Gives free seats to the waiting requests of a cluster. To be called when its plan has changed, too."""
        waiting = self._queues.get(cluster)
        if waiting is None:
            # A plan is not compiled before a request needs it.
            return
        plan = self.plans.of(cluster)
        held = self._held.get(cluster, {})
        seats = Held(held, plan.levels, plan.seats)
        for name, queues in list(waiting.items()):
            level = plan.levels.get(name)
            # A level that was deleted meanwhile limits no request.
            while queues.waiting and (level is None or seats.fits(level)):
                found = queues.waiting.pop()
                if found is None:
                    break
                (number,), (waiter, flow) = found
                assert isinstance(number, int)
                queues.ended(number)
                if waiter.done():
                    continue
                seats.took(level)
                held[name] = held.get(name, 0) + 1
                self._held[cluster] = held
                flow.dispatched += 1
                waiter.set_result(None)
            self._tidy(cluster, name)

    def _tidy(self, cluster: str, name: str) -> None:
        levels = self._queues.get(cluster)
        if levels is not None and name in levels and not levels[name].waiting:
            del levels[name]
            if not levels:
                del self._queues[cluster]

    def _refusal(self, flow: Flow, reason: str) -> PlainError:
        key = (*_labels(flow), reason)
        self._refused[key] = self._refused.get(key, 0) + 1
        error = PlainError(429, "Too many requests, please try again later.")
        error.headers["Retry-After"] = "1"
        return error

    def counted(self, plan: Plan) -> None:
        """Adds up what the flows of a plan have counted, which is dropped."""
        for flow in plan.flows:
            if flow.dispatched:
                label = _labels(flow)
                self._executed[label] = self._executed.get(label, 0) + flow.dispatched
                flow.dispatched = 0

    def metrics(self) -> Iterator[Metric]:
        """With kube-apiserver's names."""
        self.counted(self.plans.standard)
        prefix, labels = "apiserver_flowcontrol_", ("priority_level", "flow_schema")
        dispatched = CounterMetricFamily(f"{prefix}dispatched_requests", "Requests that were carried out.", labels=labels)
        for label, number in self._executed.items():
            dispatched.add_metric(label, number)
        yield dispatched
        refused = CounterMetricFamily(f"{prefix}rejected_requests", "Requests that were refused.", labels=(*labels, "reason"))
        for reason, number in self._refused.items():
            refused.add_metric(reason, number)
        yield refused
        waiting = GaugeMetricFamily(f"{prefix}current_inqueue_requests", "Requests that wait in queues.", labels=labels)
        for label, number in self._waiting.items():
            waiting.add_metric(label, number)
        yield waiting
        waits = HistogramMetricFamily(
            f"{prefix}request_wait_duration_seconds", "How long requests waited in queues.", labels=labels
        )
        for label, histogram in self._waits.items():
            waits.add_metric(label, histogram.buckets(), histogram.total)
        yield waits
        executing: dict[str, int] = {}
        for held in self._held.values():
            for name, number in held.items():
                shown = name if name in STANDARD_LEVELS else _OTHERS
                executing[shown] = executing.get(shown, 0) + number
        seats = GaugeMetricFamily(f"{prefix}current_executing_seats", "Seats in use.", labels=labels[:1])
        for name, number in executing.items():
            seats.add_metric((name,), number)
        yield seats
        nominal = GaugeMetricFamily(
            f"{prefix}nominal_limit_seats", "Seats of a level, in a logical cluster without its own objects.", labels=labels[:1]
        )
        lower = GaugeMetricFamily(f"{prefix}lower_limit_seats", "Seats that a level keeps for itself.", labels=labels[:1])
        upper = GaugeMetricFamily(f"{prefix}upper_limit_seats", "Seats with those that it borrows.", labels=labels[:1])
        for name, level in self.plans.standard.levels.items():
            nominal.add_metric((name,), level.nominal)
            lower.add_metric((name,), level.least)
            upper.add_metric((name,), level.most)
        yield from (nominal, lower, upper)

    def __repr__(self) -> str:
        return f"<FlowControl {len(self._held)} clusters in progress, {len(self._queues)} with queues>"


def _labels(flow: Flow) -> tuple[str, str]:
    level: Level = flow.level
    return (
        level.name if level.name in STANDARD_LEVELS else _OTHERS,
        flow.name if flow.name in STANDARD_SCHEMAS else _OTHERS,
    )
