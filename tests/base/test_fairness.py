"""Shares of a bounded amount, and queues in which those served least are next: what holds whatever happens."""

from __future__ import annotations

from collections.abc import Hashable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.base.fair_queue import FairQueue
from tenantry.base.shares import Shares

TOTAL = 60
TENANTS = st.sampled_from("abcd")
STEPS = st.lists(st.tuples(st.booleans(), TENANTS, st.sampled_from("xyz"), st.integers(0, 20)), max_size=120)


@given(STEPS, st.sampled_from((0.1, 0.5, 0.8, 1.0)))
def test_shares_stay_within_their_bounds_and_are_given_back_whole(
    steps: list[tuple[bool, str, str, int]], largest: float
) -> None:
    shares = Shares("things", TOTAL, largest=largest)
    taken: list[tuple[tuple[str, str], int]] = []
    for takes, tenant, user, amount in steps:
        if takes:
            owners = (f"tenant {tenant}", f"user {user}")
            before = shares.used
            if shares.take(owners, amount):
                taken.append((owners, amount))
                assert shares.used == before + amount
            else:
                assert shares.used == before
        elif taken:
            shares.give(*taken.pop(amount % len(taken)))
        assert shares.used == sum(amount for _, amount in taken) <= TOTAL
        for owner in {owner for owners, _ in taken for owner in owners}:
            assert shares.held(owner) == sum(amount for owners, amount in taken if owner in owners)
    for owners, amount in taken:
        shares.give(owners, amount)
    assert (shares.used, shares.largest) == (0, 0)


@pytest.mark.parametrize(("owners", "largest", "each"), [(1, 0.5, 30), (2, 0.5, 20), (5, 0.5, 10), (1, 0.8, 48), (1, 1.0, 60)])
def test_greedy_owners_get_even_shares_and_leave_one_more(owners: int, largest: float, each: int) -> None:
    shares = Shares("things", TOTAL, largest=largest)
    for _ in range(TOTAL):
        for owner in range(owners):
            shares.take((owner,))
    assert all(abs(shares.held(owner) - each) <= 1 for owner in range(owners))
    assert largest == 1 or shares.take(("another",))


@given(STEPS)
def test_a_piece_that_fits_is_never_refused_to_one_that_holds_nothing(steps: list[tuple[bool, str, str, int]]) -> None:
    shares = Shares("things", TOTAL)
    for _, tenant, user, amount in steps:
        shares.take((f"tenant {tenant}", f"user {user}"), amount)
        assert shares.fits(("new",), shares.total - shares.used)


def test_what_nobody_may_say() -> None:
    for largest in (0, -1, 1.5):
        with pytest.raises(ValueError, match="share"):
            Shares("things", 1, largest=largest)


Operation = tuple[str, str, str, float]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(("push", "pop", "remove", "take", "charge", "first")), TENANTS, st.sampled_from("xy"), st.floats(0, 5)
    ),
    max_size=150,
)


@given(OPERATIONS)
def test_nothing_is_lost_doubled_or_out_of_its_order(operations: list[Operation]) -> None:
    queue: FairQueue[int] = FairQueue()
    waiting: dict[tuple[Hashable, ...], list[int]] = {}
    for number, (what, tenant, user, cost) in enumerate(operations):
        owners = (f"tenant {tenant}", f"user {user}")
        mine = waiting.setdefault(owners, [])
        if what == "push":
            queue.push(owners, number)
            mine.append(number)
        elif what == "first":
            queue.push_first(owners, number)
            mine.insert(0, number)
        elif what == "charge":
            queue.charge(owners, cost)
        elif what == "remove":
            assert queue.remove(owners, mine[-1] if mine else -1) is bool(mine)
            del mine[-1:]
        elif what == "take":
            taken = queue.take(lambda item: item % 3 == 0)
            for place, items in waiting.items():
                assert [item for item in taken if item in items] == [item for item in items if item % 3 == 0]
                waiting[place] = [item for item in items if item % 3]
            mine = waiting[owners]
        else:
            found = queue.pop(cost=cost)
            # Work conserving: where anything waits, something is served.
            assert (found is None) is not any(waiting.values())
            if found is not None:
                assert waiting[found[0]].pop(0) == found[1]
        assert sorted(queue) == sorted(item for items in waiting.values() for item in items)
        assert len(queue) == sum(map(len, waiting.values()))
        assert queue.waits(owners) is bool(mine)


@given(st.lists(st.tuples(TENANTS, st.floats(0.1, 3)), min_size=1, max_size=60))
def test_whoever_waits_all_the_time_gets_an_even_part(costs: list[tuple[str, float]]) -> None:
    """Between two tenants that both wait, what was served differs by no more than one service of each."""
    queue: FairQueue[float] = FairQueue()
    by_tenant: dict[str, list[float]] = {}
    for tenant, cost in costs:
        by_tenant.setdefault(tenant, []).append(cost)
        queue.push((tenant,), cost)
    served = dict.fromkeys(by_tenant, 0.0)
    left = {tenant: len(items) for tenant, items in by_tenant.items()}
    while (found := queue.pop(cost=0.0)) is not None:
        (owner,), cost = found
        tenant = str(owner)
        queue.charge(found[0], cost)
        served[tenant] += cost
        left[tenant] -= 1
        busy = [served[name] for name, count in left.items() if count]
        assert not busy or max(busy) - min(busy) <= 2 * 3.0


def test_a_tenant_gains_nothing_by_having_many_users_nor_a_user_by_asking_many_tenants() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(50):
        queue.push(("crowd", f"user {number}"), "crowd")
        queue.push((f"tenant {number}", "wanderer"), "wanderer")
        queue.push(("quiet", "one"), "quiet")
    order = [found[1] for _ in range(30) if (found := queue.pop()) is not None]
    assert {name: order.count(name) for name in set(order)} == {"crowd": 10, "wanderer": 10, "quiet": 10}


def test_those_that_do_not_fit_are_passed_over_and_keep_their_place() -> None:
    queue: FairQueue[str] = FairQueue()
    for tenant in "abc":
        queue.push((tenant,), tenant)
    assert queue.pop(lambda owners, item: item == "c") == (("c",), "c")
    assert queue.pop(lambda owners, item: False) is None
    assert [queue.pop(), queue.pop(), queue.pop()] == [(("a",), "a"), (("b",), "b"), None]


def test_nothing_is_kept_of_those_that_come_and_go() -> None:
    queue: FairQueue[int] = FairQueue()
    queue.push(("held", "up"), 0)
    for number in range(10_000):
        owners = (f"tenant {number}", f"user {number}")
        queue.push(owners, number)
        queue.charge(owners, 0.001)
        assert queue.remove(owners, number)
        queue.pop(lambda owners, item: False)
    assert len(queue._heap) < 1000
    assert len(queue._times) < 1000
    assert queue.pop() == (("held", "up"), 0)
    assert not queue._times
