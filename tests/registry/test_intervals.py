"""Intervals of cluster ids."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.intervals import AFTER_LAST, DIGITS, PREFIX_LENGTH, ROOT_INTERVAL, Exhausted, prefixes, unused

INTERVALS = [ROOT_INTERVAL, *prefixes()]
ids = st.text(DIGITS, min_size=16, max_size=16)


def test_root_holds_root_and_system_clusters() -> None:
    start, end = ROOT_INTERVAL
    assert all(start <= cluster < end for cluster in ("root", "system:admin", "system:shard", "r" * 16, "z"[:0] + "s" * 16))


def test_prefixes_are_in_order_and_never_overlap() -> None:
    found = list(prefixes())
    assert len(found) == 34 * 36 * 36
    assert all(a_end <= b_start for (_, a_end), (b_start, _) in itertools.pairwise(found))
    assert found[-1] == ("zzz", AFTER_LAST)


@given(ids)
@settings(deadline=None)
def test_every_id_is_in_exactly_one_interval(cluster: str) -> None:
    holding = [(s, e) for s, e in INTERVALS if s <= cluster < e]
    assert len(holding) == 1
    start, _ = holding[0]
    assert cluster.startswith(start) or start == ROOT_INTERVAL[0]
    assert len(start) in (1, PREFIX_LENGTH)


def test_unused_avoids_what_is_taken() -> None:
    assert unused([ROOT_INTERVAL]) == ("000", "001")
    assert unused([ROOT_INTERVAL, ("000", "001"), ("001", "002")]) == ("002", "003")
    assert unused([ROOT_INTERVAL, ("0", "1")]) == ("100", "101")
    with pytest.raises(Exhausted, match="in use"):
        unused([("0", AFTER_LAST)])
