"""Deciding who owns which range."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from registry.assigner import BalancePolicy, Move, RangeWeight, decide, least_loaded
from tenantry.placement.map import ShardInfo

ROUNDS_MAX = 200


def shard(uid: str, *, draining: bool = False) -> ShardInfo:
    return ShardInfo(uid, uid, "", draining)


class Placement:
    """Ranges and shards on which decisions are carried out."""

    def __init__(self, weights: list[float], shards: int) -> None:
        self.ranges = {f"range-{n}": RangeWeight(f"range-{n}", "", weight) for n, weight in enumerate(weights)}
        self.shards = {f"shard-{n}": shard(f"shard-{n}") for n in range(shards)}

    @property
    def total(self) -> float:
        return sum(r.weight for r in self.ranges.values())

    def loads(self) -> dict[str, float]:
        found = dict.fromkeys(self.shards, 0.0)
        for range_ in self.ranges.values():
            if range_.owner in found:
                found[range_.owner] += range_.weight
        return found

    def round(self, *, balance: bool = True) -> list[Move]:
        """One decision, carried out. Checks what holds for every decision."""
        moves = decide(self.ranges.values(), self.shards.values(), balance=balance)
        names = [move.name for move in moves]
        assert len(names) == len(set(names)), "a range moves once a round"
        for move in moves:
            assert self.ranges[move.name].owner == move.owner != move.target
            assert not self.shards[move.target].draining
            self.ranges[move.name] = self.ranges[move.name]._replace(owner=move.target)
        return moves

    def rounds(self) -> list[Move]:
        """Rounds until nothing moves; all moves."""
        moves: list[Move] = []
        for _ in range(ROUNDS_MAX):
            more = self.round()
            if not more:
                return moves
            moves += more
        raise AssertionError(f"still moving after {ROUNDS_MAX} rounds")

    def weight(self, moves: list[Move]) -> float:
        return sum(self.ranges[name].weight for name in {move.name for move in moves})

    def check_owned(self) -> None:
        serving = {s.uid for s in self.shards.values() if not s.draining}
        assert all(r.owner in serving for r in self.ranges.values())


# Ranges that are many and small beside a shard's share, as a range's capacity makes them.
fleets = st.tuples(st.integers(1, 8), st.integers(8, 24)).flatmap(
    lambda size: st.tuples(
        st.lists(st.integers(50, 150).map(float), min_size=size[0] * size[1], max_size=size[0] * size[1]), st.just(size[0])
    )
)
lumps = st.tuples(st.lists(st.integers(1, 10_000).map(float), max_size=40), st.integers(1, 6))


def uneven(least: int) -> st.SearchStrategy[tuple[list[float], int]]:
    """So many ranges or more on each of up to 16 shards, with weights of any kind: some are full, some empty, and a few busy."""
    weights = st.floats(1, 50) | st.sampled_from([1.0, 10.0, 50.0])
    return st.integers(1, 16).flatmap(
        lambda count: st.tuples(st.lists(weights, min_size=least * count, max_size=24 * count), st.just(count))
    )


@given(lumps, st.data())
@settings(max_examples=100, deadline=None)
def test_every_range_gets_one_living_owner_whatever_happens(fleet: tuple[list[float], int], data: st.DataObject) -> None:
    placement = Placement(*fleet)
    for number in range(data.draw(st.integers(1, 6))):
        match data.draw(st.sampled_from(["join", "leave", "drain", "undrain", "grow"])):
            case "join":
                placement.shards[f"new-{number}"] = shard(f"new-{number}")
            case "leave" if len(placement.shards) > 1:
                del placement.shards[data.draw(st.sampled_from(sorted(placement.shards)))]
            case "drain":
                uid = data.draw(st.sampled_from(sorted(placement.shards)))
                placement.shards[uid] = shard(uid, draining=True)
            case "undrain":
                uid = data.draw(st.sampled_from(sorted(placement.shards)))
                placement.shards[uid] = shard(uid)
            case "grow" if placement.ranges:
                name = data.draw(st.sampled_from(sorted(placement.ranges)))
                placement.ranges[name] = placement.ranges[name]._replace(weight=data.draw(st.integers(1, 10_000).map(float)))
        if all(s.draining for s in placement.shards.values()):
            assert placement.round() == [], "nobody may take anything"
            uid = min(placement.shards)
            placement.shards[uid] = shard(uid)
        placement.rounds()
        placement.check_owned()
        assert placement.round() == []


@given(fleets)
@settings(max_examples=100, deadline=None)
def test_join_moves_its_share_and_no_more(fleet: tuple[list[float], int]) -> None:
    placement = Placement(*fleet)
    placement.rounds()
    count = len(placement.shards)
    placement.shards["new"] = shard("new")
    first = placement.round()
    assert all(move.target == "new" for move in first)
    mean = placement.total / (count + 1)
    assert 0.85 * mean <= placement.loads()["new"] <= 1.25 * mean, "it is filled at once"
    moved = placement.weight(first + placement.rounds())
    assert moved <= 1.25 / (count + 1) * placement.total
    assert max(placement.loads().values()) <= 1.25 * mean


@given(uneven(8))
@settings(max_examples=100, deadline=None)
def test_join_to_uneven_ranges_moves_its_share_and_no_more(fleet: tuple[list[float], int]) -> None:
    """As long as no range is more than a third of a share."""
    weights, count = fleet
    while max(weights) > (third := sum(weights) / (count + 1) / 3):
        weights = [min(weight, 0.99 * third) for weight in weights]
    placement = Placement(weights, count)
    placement.rounds()
    placement.shards["new"] = shard("new")
    share = placement.total / len(placement.shards)
    first = placement.round()
    assert all(move.target == "new" for move in first)
    assert 0.75 * share <= placement.loads()["new"] <= 1.25 * share
    assert placement.weight(first + placement.rounds()) <= 1.25 * share


@given(uneven(2))
@settings(max_examples=100, deadline=None)
def test_join_of_anything_moves_more_than_its_share_only_in_one_piece(fleet: tuple[list[float], int]) -> None:
    placement = Placement(*fleet)
    placement.rounds()
    placement.shards["new"] = shard("new")
    first = placement.round()
    room = 1.25 * placement.total / len(placement.shards)
    if placement.weight(first) > room:
        assert len(first) == 1
        assert all(r.weight > room for r in placement.ranges.values() if r.owner == first[0].owner)
    placement.rounds()


def test_what_is_alike_but_for_rounding_is_left_alone() -> None:
    """Two shards that hold the same, but for a range that one of them has more: it would go to and fro."""
    tenth = 0.1
    ranges = [RangeWeight("a", "one", 3 * tenth), RangeWeight("b", "one", 0.3), RangeWeight("c", "two", 0.3)]
    ranges += [RangeWeight("heavy", "three", 10.0)]
    moves = decide(ranges, [shard("one"), shard("two"), shard("three")])
    assert moves == []


@given(lumps)
@settings(max_examples=100, deadline=None)
def test_join_of_lumps_moves_at_most_one_range_more_than_its_share(fleet: tuple[list[float], int]) -> None:
    placement = Placement(*fleet)
    placement.rounds()
    placement.shards["new"] = shard("new")
    taken = placement.weight(placement.round())
    share = 1.25 / len(placement.shards) * placement.total
    assert taken <= max(share, max((r.weight for r in placement.ranges.values()), default=0))


@given(fleets, st.data())
@settings(max_examples=100, deadline=None)
def test_leave_moves_exactly_the_leavers_ranges(fleet: tuple[list[float], int], data: st.DataObject) -> None:
    placement = Placement(*fleet)
    placement.rounds()
    placement.shards["spare"] = shard("spare")
    placement.rounds()
    leaver = data.draw(st.sampled_from(sorted(placement.shards)))
    share = {r.name for r in placement.ranges.values() if r.owner == leaver}
    if data.draw(st.booleans()):
        del placement.shards[leaver]
    else:
        placement.shards[leaver] = shard(leaver, draining=True)
    moves = placement.round()
    assert {move.name for move in moves} == share
    assert all(move.owner == leaver for move in moves)
    placement.check_owned()


@given(lumps, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_decisions_depend_on_the_state_alone(fleet: tuple[list[float], int], chance: random.Random) -> None:
    placement = Placement(*fleet)
    for range_ in placement.ranges.values():
        owner = chance.choice([*sorted(placement.shards), "gone", ""])
        placement.ranges[range_.name] = range_._replace(owner=owner)
    ranges, shards = list(placement.ranges.values()), list(placement.shards.values())
    wanted = decide(ranges, shards)
    chance.shuffle(ranges)
    chance.shuffle(shards)
    assert decide(ranges, shards) == wanted


@given(fleets, st.data())
@settings(max_examples=60, deadline=None)
def test_churn_of_a_round_is_bounded(fleet: tuple[list[float], int], data: st.DataObject) -> None:
    """Loads that drift apart are evened out, a little in each round."""
    placement = Placement(*fleet)
    placement.rounds()
    heavy = data.draw(st.sampled_from(sorted(placement.shards)))
    for range_ in list(placement.ranges.values()):
        if range_.owner == heavy:
            placement.ranges[range_.name] = range_._replace(weight=range_.weight * 1.6)
    filling = {
        uid for uid, load in placement.loads().items() if load < BalancePolicy().filling * placement.total / len(placement.shards)
    }
    moves = placement.round()
    assert placement.weight([move for move in moves if move.target not in filling]) <= BalancePolicy().churn * placement.total
    placement.rounds()
    heaviest = max(r.weight for r in placement.ranges.values())
    loads = placement.loads().values()
    assert max(loads) <= 1.1 * placement.total / len(placement.shards) + heaviest


def test_nothing_moves_for_balance_when_told_so() -> None:
    placement = Placement([1.0] * 10, 1)
    placement.rounds()
    placement.shards["new"] = shard("new")
    assert placement.round(balance=False) == []
    assert len(placement.round()) == 5


def test_two_ranges_on_two_shards_are_one_each() -> None:
    placement = Placement([5.0, 5.0], 1)
    placement.rounds()
    placement.shards["new"] = shard("new")
    placement.rounds()
    assert sorted(placement.loads().values()) == [5.0, 5.0]


def test_a_new_range_goes_to_the_least_loaded() -> None:
    ranges = [RangeWeight("a", "one", 5.0), RangeWeight("b", "two", 4.0), RangeWeight("c", "gone", 9.0)]
    assert least_loaded(ranges, [shard("one"), shard("two")]) == "two"
    assert least_loaded(ranges, [shard("one"), shard("two", draining=True)]) == "one"
    assert least_loaded(ranges, [shard("one", draining=True)]) is None
    assert least_loaded([], []) is None
