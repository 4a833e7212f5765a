"""Pauses double up to a bound, and begin again after a success."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.base.backoff import Backoff, KeyedBackoff


@given(st.floats(0.001, 1), st.floats(1, 100), st.integers(1, 30))
def test_without_jitter_pauses_double_up_to_the_last(first: float, last: float, attempts: int) -> None:
    backoff = Backoff(first, last, jitter=0)
    for attempt in range(attempts):
        assert backoff.next_seconds() == min(first * 2**attempt, last)
    backoff.reset()
    assert backoff.next_seconds() == first


@given(st.floats(0, 1))
def test_jitter_shortens_a_pause_by_no_more_than_its_part(jitter: float) -> None:
    backoff = Backoff(1.0, 8.0, jitter=jitter)
    for longest in (1.0, 2.0, 4.0, 8.0, 8.0):
        assert longest * (1 - jitter) - 1e-9 <= backoff.next_seconds() <= longest


def test_steady_pauses_have_their_mean_and_do_not_grow() -> None:
    backoff = Backoff.steady(0.3)
    pauses = [backoff.next_seconds() for _ in range(2000)]
    assert 0.2 - 1e-9 <= min(pauses) < max(pauses) <= 0.4 + 1e-9
    assert sum(pauses) / len(pauses) == pytest.approx(0.3, rel=0.05)


async def test_a_pause_that_is_too_long_is_not_made() -> None:
    backoff = Backoff(0.001, 60, jitter=0)
    assert await backoff.pause() and await backoff.pause(within_seconds=1)
    began = asyncio.get_running_loop().time()
    backoff.seconds = 60
    assert not await backoff.pause(within_seconds=60)
    assert asyncio.get_running_loop().time() - began < 10


@given(st.floats(0.001, 1), st.floats(1, 100), st.integers(1, 2000))
def test_pauses_of_a_key_double_up_to_the_last_and_are_its_own(first: float, last: float, failures: int) -> None:
    backoff = KeyedBackoff[str](first, last)
    for attempt in range(failures):
        assert backoff.next_seconds("a") == min(first * 2 ** min(attempt, 64), last)
    assert (backoff.failures("a"), backoff.failures("b")) == (failures, 0)
    assert backoff.next_seconds("b") == first
    backoff.reset("a")
    assert (backoff.next_seconds("a"), backoff.failures("b")) == (first, 1)
    backoff.reset_where(lambda key: key == "a")
    assert (backoff.failures("a"), backoff.failures("b")) == (0, 1)
