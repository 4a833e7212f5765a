"""Fifty rounds with seeds that never change: what an owner that lost its ranges may do, and what everybody else is promised."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.rounds import Rounds

ROUNDS = 50
SEED = "tenantry"


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rounds]:
    with Rounds(SEED, tmp_path_factory.mktemp("faults")) as running:
        yield running


@pytest.mark.e2e
@pytest.mark.parametrize("number", range(ROUNDS))
def test_promises_are_kept_whatever_breaks(rounds: Rounds, number: int) -> None:
    assert rounds.run(number).counts["stored"]
