"""Fifty rounds of breaking a platform under load. `make faults` runs any number."""

from __future__ import annotations

import pytest

from tests.distributed.test_take_over import TAKE_OVER_SECONDS_MAX
from tests.faults.breakage import ALL, fault_of, stop_etcd_long
from tests.faults.conftest import SEED
from tests.faults.rounds import Rounds
from tests.faults.verdict import Verdict

ROUNDS = 50

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("number", range(ROUNDS), ids=lambda number: f"{number}-{fault_of(SEED, number).__name__}")
def test_promises_are_kept(number: int, rounds: Rounds, total: Verdict) -> None:
    total.add(rounds.run(number))


def test_all_was_broken_and_judged(total: Verdict) -> None:
    """A run that broke nothing, or whose load slept, would be good too."""
    assert {fault_of(SEED, number) for number in range(ROUNDS)} == {*ALL, stop_etcd_long}
    counts = total.counts
    assert counts["ok"] > 100 * ROUNDS and counts["stored"] > 50 * ROUNDS and counts["events"] > 100 * ROUNDS, counts
    assert counts["resumed"] > ROUNDS, counts


def test_a_killed_owner_was_replaced_in_time(total: Verdict) -> None:
    """Under this load, too; tests/distributed has the median under a lighter one."""
    assert max(total.taken_over["kill owner"]) <= TAKE_OVER_SECONDS_MAX, total.summary()
