"""Seats of priority levels: who waits, who is refused, and who is next."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Container
from typing import Any

import pytest

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.flow_control import FlowControl
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.http.errors import TooManyRequests
from tenantry.kube.flowcontrol.plan import Flow, Plan, compile_plan
from tenantry.kube.objects import Object
from tenantry.kube.status import PlainError
from tests.support.waiting import one_turn, until

EVERY = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
ALICE, BOB = User("alice", ("system:authenticated",)), User("bob", ("system:authenticated",))


class OnePlan:
    """Every logical cluster has the standard plan."""

    def __init__(self, standard: Plan) -> None:
        self.standard = standard
        self.own: Container[str] = ()

    def of(self, cluster: str) -> Plan:
        return self.standard


def level(shares: int, queues: int = 0, length: int = 1, **more: Any) -> Object:
    queuing = {"queues": queues, "handSize": 1, "queueLengthLimit": length}
    response = {"type": "Queue", "queuing": queuing} if queues else {"type": "Reject"}
    return {"type": "Limited", "limited": {"nominalConcurrencyShares": shares, "limitResponse": response, **more}}


def schema(name: str, of: str) -> Object:
    rules = [{"subjects": [{"kind": "User", "user": {"name": name}}], "resourceRules": [EVERY]}]
    method = {"type": "ByNamespace"}
    return {"priorityLevelConfiguration": {"name": of}, "matchingPrecedence": 9, "rules": rules, "distinguisherMethod": method}


def plan(low: Object, high: Object, seats: int = 4) -> Plan:
    """Alice's requests are of the level `low`, Bob's of `high`."""
    return compile_plan(
        [("a", "1", schema("alice", "low")), ("b", "2", schema("bob", "high"))], [("low", "3", low), ("high", "4", high)], seats
    )


def asked(user: User, namespace: str = "default") -> Attributes:
    return Attributes(user, "get", "c", resource="configmaps", namespace=namespace)


def flow_of(control: FlowControl, user: User) -> Flow:
    return control.plans.standard.flow(user, asked(user))


async def begun(control: FlowControl, user: User, cluster: str = "c", namespace: str = "default") -> asyncio.Task[None]:
    """A request that waits."""
    flow = flow_of(control, user)
    assert not control.take_now(cluster, flow)
    task = asyncio.create_task(control.take(Request("GET", "/"), cluster, flow, asked(user, namespace)))
    await one_turn()
    return task


async def test_a_level_has_its_part_and_clusters_their_own() -> None:
    control = FlowControl(OnePlan(plan(level(50, borrowingLimitPercent=0), level(50, borrowingLimitPercent=0))))
    low = flow_of(control, ALICE)
    taken = [control.take_now("c", low) for _ in range(3)]
    assert taken == [True, True, False]
    assert control.take_now("other", low)
    with pytest.raises(PlainError) as refused:
        await control.take(Request("GET", "/"), "c", low, asked(ALICE))
    assert refused.value.code == 429
    assert refused.value.message == "Too many requests, please try again later."
    assert refused.value.headers == {"Retry-After": "1"}
    assert control.take_now("c", flow_of(control, BOB)), "the other level has its own part"
    for cluster, flow in (("c", low), ("c", low), ("other", low), ("c", flow_of(control, BOB))):
        control.leave(cluster, flow)
    assert not control._held


async def test_the_one_that_waits_is_next() -> None:
    control = FlowControl(OnePlan(plan(level(1, queues=8, length=2, borrowingLimitPercent=0), level(3))))
    low = flow_of(control, ALICE)
    assert control.take_now("c", low)
    first, second = await begun(control, ALICE), await begun(control, ALICE)
    with pytest.raises(PlainError):
        await control.take(Request("GET", "/"), "c", low, asked(ALICE))
    other = await begun(control, ALICE, namespace="elsewhere")
    assert not any(task.done() for task in (first, second, other))
    control.leave("c", low)
    await first
    assert not control.take_now("c", low), "others wait already"
    control.leave("c", low)
    await other
    control.leave("c", low)
    await second
    control.leave("c", low)
    assert not control._held
    assert not control._queues
    text = {
        sample.name: sample.value for metric in control.metrics() for sample in metric.samples if sample.name.endswith("total")
    }
    assert text["apiserver_flowcontrol_rejected_requests_total"] == 1
    assert text["apiserver_flowcontrol_dispatched_requests_total"] == 4
    waits = {sample.name: sample.value for metric in control.metrics() for sample in metric.samples if "wait" in sample.name}
    assert waits["apiserver_flowcontrol_request_wait_duration_seconds_count"] == 3


async def test_a_request_that_ends_while_it_waits() -> None:
    control = FlowControl(OnePlan(plan(level(1, queues=1, length=9, borrowingLimitPercent=0), level(3))))
    low = flow_of(control, ALICE)
    assert control.take_now("c", low)
    gone, next_one = await begun(control, ALICE), await begun(control, ALICE)
    gone.cancel()
    await until(gone.done)
    control.leave("c", low)
    await next_one
    control.leave("c", low)
    # One that is cancelled after it was given the seat gives it back.
    assert control.take_now("c", low)
    late = await begun(control, ALICE)
    control.leave("c", low)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    assert not control._held
    assert not control._queues


async def test_a_request_that_waits_too_long() -> None:
    class Slow:
        owners = ()

        async def wait(self, waiter: asyncio.Future[None]) -> None:
            raise TooManyRequests("late")

        async def away(self, work: Awaitable[Any]) -> Any:
            return await work

    control = FlowControl(OnePlan(plan(level(1, queues=1, borrowingLimitPercent=0), level(3))))
    low = flow_of(control, ALICE)
    assert control.take_now("c", low)
    with pytest.raises(PlainError):
        await control.take(Request("GET", "/", place=Slow()), "c", low, asked(ALICE))
    reasons = [sample.labels["reason"] for metric in control.metrics() for sample in metric.samples if "reason" in sample.labels]
    assert reasons == ["time-out"]
    control.leave("c", low)
    assert not control._queues


async def test_a_change_of_levels_lets_requests_go_on() -> None:
    plans = OnePlan(plan(level(0, queues=1, borrowingLimitPercent=0), level(3)))
    control = FlowControl(plans)
    jailed = await begun(control, ALICE)
    control.admit("c")
    await one_turn()
    assert not jailed.done()
    plans.standard = plan(level(1, queues=1), level(3))
    control.admit("c")
    await jailed


async def test_a_change_of_levels_that_nobody_waits_for_compiles_no_plan() -> None:
    """Each write of a tenant's FlowSchemas would pay for it on the event loop."""

    class NotNow(OnePlan):
        def of(self, cluster: str) -> Plan:
            raise AssertionError("a plan is compiled")

    FlowControl(NotNow(plan(level(1), level(1)))).admit("c")


async def test_seats_go_round_levels_in_which_requests_wait() -> None:
    """A seat that is given back goes to one of them at a time, whatever they wait for."""
    control = FlowControl(OnePlan(plan(level(1, queues=1, length=9), level(1, queues=1, length=9), seats=2)))
    low, high = flow_of(control, ALICE), flow_of(control, BOB)
    assert control.take_now("c", low)
    assert control.take_now("c", high)
    waiting = [await begun(control, user) for user in (ALICE, BOB, ALICE, BOB)]
    for flow in (low, high, low, high):
        control.leave("c", flow)
        assert sum(control._held["c"].values()) == 2
    await asyncio.gather(*waiting)
    for flow in (low, high):
        control.leave("c", flow)
    assert not control._held
    assert not control._queues
