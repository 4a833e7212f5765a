"""Decides which shard should own which range, as a pure function. `registry.assignments` writes the decisions.

A range moves for one of three reasons, in this order: its owner is gone, its owner is draining, or the loads of the shards differ
too much. Balancing is limited: a new shard is filled to the mean at once; beyond that, one round moves a small part of the load
(Adya et al., "Slicer: Auto-Sharding for Datacenter Applications", OSDI 2016, limits the same as "key churn").
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tenantry.placement.map import ShardInfo

GAIN = 0.99
"""A new shard gets only ranges whose weight is below this part of the load difference to the giving shard."""


class RangeWeight(NamedTuple):
    """A range and its load.

    `owner`: uid of a shard, living or not; empty if there is none. `weight`: a positive number. `target`: uid of the shard to
    which the range moves; empty if it does not move.
    """

    name: str
    owner: str
    weight: float
    target: str = ""


class Move(NamedTuple):
    """A decision: the range `name` moves from `owner` (as in RangeWeight) to the shard with the uid `target`."""

    name: str
    owner: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancePolicy:
    """Limits of balancing. All fractions are of the mean load of the shards that are not draining, except `churn`.

    `tolerance`: shards within this fraction of the mean are not balanced, and a move that would only swap two loads is not made.
    `churn`: the fraction of the total load that one round may move. It does not limit the filling of new shards.
    `overfill`: balancing loads no shard above this multiple of the mean, so a joining shard gets at most this much.
    `filling`: a shard below this fraction of the mean counts as new and is filled at once.
    """

    tolerance: float = 0.10
    churn: float = 0.09
    overfill: float = 1.25
    filling: float = 0.5


@dataclass(slots=True)
class _ShardLoad:
    uid: str
    name: str
    load: float = 0.0
    ranges: list[RangeWeight] = field(default_factory=list)

    def take(self, range_: RangeWeight) -> None:
        self.ranges.append(range_)
        self.load += range_.weight

    def give(self, range_: RangeWeight) -> None:
        self.ranges.remove(range_)
        self.load = sum(r.weight for r in self.ranges)


def decide(
    ranges: Iterable[RangeWeight], shards: Iterable[ShardInfo], *, balance: bool = True, policy: BalancePolicy | None = None
) -> list[Move]:
    """Returns the moves to make now, at most one for each range. The order of the input does not matter.

    `shards`: the living ones. Ties are broken by name. If all of them are draining, the result is empty.
    `balance` False: move only the ranges of shards that are gone or draining.
    """
    living = sorted(shards)
    serving = {shard.uid: _ShardLoad(shard.uid, shard.name) for shard in living if not shard.draining}
    if not serving:
        return []
    alive = {shard.uid for shard in living}
    unowned: list[RangeWeight] = []
    moves: list[Move] = []
    for range_ in sorted(ranges):
        if (target := serving.get(range_.target)) is not None:
            # A moving range counts at its target. A living owner has to release it first, so no new move is needed.
            target.take(range_)
            if range_.owner not in alive:
                moves.append(Move(range_.name, range_.owner, target.uid))
        elif (owner := serving.get(range_.owner)) is not None:
            owner.take(range_)
        else:
            unowned.append(range_)
    # The heaviest range first: the light ones can then level the loads.
    for range_ in sorted(unowned, key=lambda r: (-r.weight, r.name)):
        target = _least(serving.values())
        target.take(range_)
        moves.append(Move(range_.name, range_.owner, target.uid))
    if balance and not moves:
        moves += _balance(list(serving.values()), policy or BalancePolicy())
    return moves


def least_loaded(ranges: Iterable[RangeWeight], shards: Iterable[ShardInfo]) -> str | None:
    """The uid of the shard that gets a new range; None if every living shard is draining."""
    serving = {shard.uid: _ShardLoad(shard.uid, shard.name) for shard in shards if not shard.draining}
    for range_ in ranges:
        if (owner := serving.get(range_.target) or serving.get(range_.owner)) is not None:
            owner.take(range_)
    return _least(serving.values()).uid if serving else None


def _least(shards: Iterable[_ShardLoad]) -> _ShardLoad:
    return min(shards, key=lambda s: (s.load, len(s.ranges), s.name, s.uid))


def _balance(shards: Sequence[_ShardLoad], policy: BalancePolicy) -> list[Move]:
    """Moves ranges from heavy to light shards, the best move first, until the loads are similar or the limit is reached.

    Each move makes the loads of its two shards more similar, so the sum of the squares of all loads decreases. Therefore rounds
    with unchanged loads come to an end. A round that fills new shards makes no other moves.
    """
    total = sum(shard.load for shard in shards)
    mean = total / len(shards)
    filling = {shard.uid for shard in shards if shard.load < policy.filling * mean}
    budget = policy.churn * total
    moved = {range_.name for shard in shards for range_ in shard.ranges if range_.target}
    moves: list[Move] = []
    while True:
        best = _best(shards, mean, policy, filling, budget, moved)
        if best is None and filling and not moves:
            # All ranges are too heavy for the new shards. Balance the other shards.
            filling = set()
            continue
        if best is None:
            return moves
        giver, taker, range_ = best
        if not filling:
            budget -= range_.weight
        giver.give(range_)
        taker.take(range_)
        moved.add(range_.name)
        moves.append(Move(range_.name, giver.uid, taker.uid))


def _best(
    shards: Sequence[_ShardLoad], mean: float, policy: BalancePolicy, filling: set[str], budget: float, moved: set[str]
) -> tuple[_ShardLoad, _ShardLoad, RangeWeight] | None:
    """The next move as (giver, taker, range): to the lightest shard possible, from the heaviest shard possible. None: no move."""
    for taker in sorted(shards, key=lambda s: (s.load, s.name, s.uid)):
        if taker.load >= mean:
            return None
        fills = taker.uid in filling
        if filling and not fills:
            continue
        room = policy.overfill * mean - taker.load
        for giver in sorted(shards, key=lambda s: (-s.load, s.name, s.uid)):
            apart = giver.load - taker.load
            uneven = giver.load > (1 + policy.tolerance) * mean or taker.load < (1 - policy.tolerance) * mean
            if apart <= 0 or not (uneven or fills):
                break
            # A move that only swaps the loads would be repeated forever.
            worth = GAIN * apart if fills else min(budget, apart - policy.tolerance * mean)
            # The best weight brings one of the two shards to the mean, so that the giver needs nothing back.
            wanted = min(giver.load - mean, mean - taker.load)
            can_go = [r for r in giver.ranges if r.weight < apart and r.weight <= worth and r.name not in moved]
            found = [r for r in can_go if r.weight <= room]
            if not found and not taker.ranges:
                # An empty shard may get a range above `overfill`, because a range cannot be split.
                found = can_go
            if found:
                return giver, taker, min(found, key=lambda r: (abs(r.weight - wanted), r.name))
    return None
