"""How seats are divided among levels, and hands of queues dealt."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.flowcontrol.levels import Held, Level, divided, fits
from tenantry.kube.flowcontrol.standard_objects import STANDARD_LEVELS
from tenantry.kube.objects import Object


def limited(shares: int, lendable: int = 0, borrowing: int | None = None) -> Object:
    spec: Object = {"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": {"type": "Reject"}}
    return {"type": "Limited", "limited": spec if borrowing is None else spec | {"borrowingLimitPercent": borrowing}}


def made(seats: int, **specs: Object) -> dict[str, Level]:
    return divided([(name, f"uid-{name}", spec) for name, spec in specs.items()], seats)


def test_nominal_seats() -> None:
    """kube-apiserver's figures for its 600 seats."""
    found = divided([(name, "", spec) for name, spec in STANDARD_LEVELS.items()], 600)
    assert {name: level.nominal for name, level in found.items()} == {
        "catch-all": 13,
        "exempt": 0,
        "system": 74,
        "node-high": 98,
        "leader-election": 25,
        "workload-high": 98,
        "workload-low": 245,
        "global-default": 49,
    }
    assert found["workload-low"].least == 24
    assert found["exempt"].exempt


def test_borrowing() -> None:
    levels = made(10, a=limited(50, lendable=40), b=limited(50, lendable=0, borrowing=20))
    a, b = levels["a"], levels["b"]
    assert (a.nominal, a.least, b.most) == (5, 3, 6)
    assert fits(b, {"b": 4}, levels, 10)
    assert fits(b, {"b": 5}, levels, 10), "lent by a"
    assert not fits(b, {"b": 6}, levels, 10), "more than it may borrow"
    assert not fits(a, {"a": 5}, levels, 10), "b lends nothing"
    assert fits(a, {"a": 2, "b": 8}, levels, 10), "what it keeps for itself"
    assert not fits(a, {"a": 4, "b": 6}, levels, 10), "its own seat is lent"
    assert fits(a, {"a": 4, "b": 5}, levels, 10)


def test_a_level_that_says_nothing_else_lends_nothing_and_has_no_queues() -> None:
    level = divided([("a", "u", {"type": "Limited", "limited": {"nominalConcurrencyShares": 1}})], 10)["a"]
    assert (level.nominal, level.least, level.most, level.queues) == (10, 10, 20, 0)


def test_level_without_seats() -> None:
    levels = made(10, a=limited(0, borrowing=0), b=limited(1))
    assert not fits(levels["a"], {}, levels, 10)


@given(
    seats=st.integers(1, 400),
    specs=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.none() | st.integers(0, 300)), min_size=1, max_size=6),
    order=st.lists(st.integers(0, 5), max_size=600),
)
def test_no_level_takes_what_another_keeps(seats: int, specs: list[tuple[int, int, int | None]], order: list[int]) -> None:
    """However requests come, each level still gets what it keeps for itself, and all together not more than there are, but for
    what rounding up adds."""
    levels = made(seats, **{f"l{n}": limited(*spec) for n, spec in enumerate(specs)})
    held: dict[str, int] = {}
    for number in order:
        name = f"l{number % len(specs)}"
        if fits(levels[name], held, levels, seats):
            held[name] = held.get(name, 0) + 1
        assert held.get(name, 0) <= levels[name].most
    assert sum(held.values()) <= seats + len(specs)
    for name, level in levels.items():
        assert held.get(name, 0) >= level.least or fits(level, held, levels, seats)


@given(
    seats=st.integers(1, 60),
    specs=st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100), st.none() | st.integers(0, 300)), min_size=1, max_size=6),
    order=st.lists(st.integers(0, 5), max_size=100),
)
def test_seats_that_are_summed_up_once(seats: int, specs: list[tuple[int, int, int | None]], order: list[int]) -> None:
    """Who asks for many levels sums up once, with the same answers as one who sums up for each."""
    levels = made(seats, **{f"l{n}": limited(*spec) for n, spec in enumerate(specs)})
    held: dict[str, int] = {}
    once = Held(held, levels, seats)
    for number in order:
        level = levels[f"l{number % len(specs)}"]
        assert once.fits(level) == fits(level, held, levels, seats)
        if once.fits(level):
            once.took(level)
            held[level.name] = held.get(level.name, 0) + 1


@given(queues=st.integers(1, 512), hand=st.integers(1, 6), hash_value=st.integers(0, 2**64 - 1))
def test_hands(queues: int, hand: int, hash_value: int) -> None:
    dealt = Level("x", "", queues=queues, hand=hand).deal(hash_value)
    assert len(dealt) == len(set(dealt)) == min(hand, queues)
    assert all(0 <= card < queues for card in dealt)


def test_a_hand_as_upstream() -> None:
    """Worked out with kube-apiserver's algorithm: the remainders 5, 5, 0 of 10, 9 and 8 queues are the queues 5, 6 and 0."""
    assert Level("x", "", queues=10, hand=3).deal(5 + 10 * (5 + 9 * 0)) == [5, 6, 0]
