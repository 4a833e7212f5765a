"""Twenty-five rounds of breaking a platform under load. `make faults` runs any number."""

from __future__ import annotations

import pytest

from tests.distributed.test_take_over import TAKE_OVER_SECONDS_MAX
from tests.faults.breakage import ALL, fault_of, stop_etcd_long
from tests.faults.conftest import SEED
from tests.faults.rounds import Rounds
from tests.faults.verdict import Verdict
from tests.support.pace import stretch

ROUNDS = 25

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("number", range(ROUNDS), ids=lambda number: f"{number}-{fault_of(SEED, number).__name__}")
def test_promises_are_kept(number: int, rounds: Rounds, total: Verdict) -> None:
    total.add(rounds.run(number))


def test_all_was_broken_and_judged(total: Verdict) -> None:
    """A run that broke nothing, or whose load slept, would be good too. A slow machine carries less of it."""
    assert {fault_of(SEED, number) for number in range(ROUNDS)} == {*ALL, stop_etcd_long}
    counts = total.counts
    rounds = ROUNDS / stretch()
    assert counts["ok"] > 100 * rounds and counts["stored"] > 50 * rounds and counts["events"] > 100 * rounds, counts
    assert counts["resumed"] > rounds, counts


def test_a_killed_owner_was_replaced_in_time(total: Verdict) -> None:
    """Under this load, too; tests/distributed has the median under a lighter one."""
    assert max(total.taken_over["kill owner"]) <= TAKE_OVER_SECONDS_MAX * stretch(), total.summary()
