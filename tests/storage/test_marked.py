"""The marked records of a range are those that a search of all of them finds, whatever was written."""

from __future__ import annotations

import random

import pytest

from tenantry.storage.index import in_key_order
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Head, Record, RecordEvent

MARK = b'"mark"'
CLUSTERS = ("a", "b")


def record(key: Key, marked: bool, version: int) -> Record:
    return Record(key, b'{"mark":1}' if marked else b"{}", version, Head())


@pytest.mark.parametrize("seed", range(20))
def test_marked_records_are_those_that_a_search_finds(seed: int) -> None:
    dice = random.Random(seed)
    range_ = Range("r", "a", "z", marks={"quotas": MARK})
    for version in range(1, 120):
        place = dice.choice(("", "n", "n-a", "n.b")), dice.choice("xyz")
        key = Key(dice.choice(CLUSTERS), dice.choice(("quotas", "others")), *place)
        previous = range_.get(key)
        made = record(key, dice.random() < 0.5, version)
        if dice.random() < 0.1:
            range_.load([made])
        elif previous is None or dice.random() < 0.7:
            range_.apply([RecordEvent(key, version, made, previous)])
        else:
            range_.apply([RecordEvent(key, version, None, previous)])
        for cluster in CLUSTERS:
            found = sorted(
                (each for each in range_.each("quotas", cluster) if MARK in each.value), key=lambda e: in_key_order(e.key)
            )
            assert range_.marked("quotas", cluster) == found


def test_a_resource_without_a_mark_is_an_error_and_not_an_empty_list() -> None:
    with pytest.raises(KeyError):
        Range("r", "a", "z").marked("quotas", "a")
