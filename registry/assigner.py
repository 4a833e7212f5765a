"""Who should own which range: a pure function of what is known. It decides; `registry.assignments` acts.

Three reasons for a change, in this order: the owner is gone, the owner is draining, or the shards are loaded too differently.
The last one is bounded: a new shard is filled to the mean at once, and beyond that a round moves a small part of the load
(reference: sharding §8.5, §9).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tenantry.placement.map import ShardInfo

GAIN = 0.99
"""A shard is filled with ranges that are lighter than this part of what it is apart from the giver."""


class RangeWeight(NamedTuple):
    """A range and how much it loads its shard: `weight` is positive.

    `owner`, and `target` while it moves, are shards' uids, alive or not, or empty.
    """

    name: str
    owner: str
    weight: float
    target: str = ""


class Move(NamedTuple):
    """Range `name` should go from `owner` (as in RangeWeight) to the shard `target`."""

    name: str
    owner: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How much may be moved for balance. Loads are compared with the mean of the shards that serve.

    `tolerance`: a shard this much above or below the mean is left alone, and a move that makes two shards less alike than that,
    only the other way round, is not worth it.
    `churn`: the part of the whole load that one round may move, shards that are being filled excepted.
    `overfill`: no shard is given more than this many times the mean for balance, so a join moves at most that share.
    `filling`: a shard below this part of the mean counts as new, and is filled at once.
    """

    tolerance: float = 0.10
    churn: float = 0.09
    overfill: float = 1.25
    filling: float = 0.5


@dataclass(slots=True)
class _Shard:
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
    ranges: Iterable[RangeWeight], shards: Iterable[ShardInfo], *, balance: bool = True, policy: Policy | None = None
) -> list[Move]:
    """What has to change now, each range at most once. The same input in any order gives the same moves.

    `shards` are the living ones; among equals the one with the first name is taken. Without one that is not draining there is
    nobody to move to, and the answer is empty. `balance` False: only what cannot wait, the
    ranges of shards that are gone or draining.
    """
    living = sorted(shards)
    serving = {shard.uid: _Shard(shard.uid, shard.name) for shard in living if not shard.draining}
    if not serving:
        return []
    alive = {shard.uid for shard in living}
    unowned: list[RangeWeight] = []
    moves: list[Move] = []
    for range_ in sorted(ranges):
        if (target := serving.get(range_.target)) is not None:
            # On its way: it counts where it will be. An owner that lives lets it go first; one that does not need not.
            target.take(range_)
            if range_.owner not in alive:
                moves.append(Move(range_.name, range_.owner, target.uid))
        elif (owner := serving.get(range_.owner)) is not None:
            owner.take(range_)
        else:
            unowned.append(range_)
    # The heaviest first: the light ones then even out what the heavy ones left uneven.
    for range_ in sorted(unowned, key=lambda r: (-r.weight, r.name)):
        target = _least(serving.values())
        target.take(range_)
        moves.append(Move(range_.name, range_.owner, target.uid))
    if balance and not moves:
        moves += _balance(list(serving.values()), policy or Policy())
    return moves


def least_loaded(ranges: Iterable[RangeWeight], shards: Iterable[ShardInfo]) -> str | None:
    """The uid of the shard where a new range goes; None where none serves."""
    serving = {shard.uid: _Shard(shard.uid, shard.name) for shard in shards if not shard.draining}
    for range_ in ranges:
        if (owner := serving.get(range_.target) or serving.get(range_.owner)) is not None:
            owner.take(range_)
    return _least(serving.values()).uid if serving else None


def _least(shards: Iterable[_Shard]) -> _Shard:
    return min(shards, key=lambda s: (s.load, len(s.ranges), s.name, s.uid))


def _balance(shards: Sequence[_Shard], policy: Policy) -> list[Move]:
    """Moves from the heavy to the light, the best first, until the loads are alike or the round's bound is reached.

    A range is moved only if giver and taker are closer to each other afterwards, so the sum of the squares of all loads falls
    with each move, and rounds over unchanged loads come to an end. A round in which shards are filled does nothing else.
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
            # What is too light cannot be helped with ranges as heavy as these; the others still can.
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
    shards: Sequence[_Shard], mean: float, policy: Policy, filling: set[str], budget: float, moved: set[str]
) -> tuple[_Shard, _Shard, RangeWeight] | None:
    """The next move: into the lightest shard that can be helped, from the heaviest that can help it."""
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
            # What would leave two shards as they are, only the other way round, is moved for ever, to and fro.
            worth = GAIN * apart if fills else min(budget, apart - policy.tolerance * mean)
            # What brings one of them to the mean: then none of those that gave has to be given anything back.
            wanted = min(giver.load - mean, mean - taker.load)
            can_go = [r for r in giver.ranges if r.weight < apart and r.weight <= worth and r.name not in moved]
            found = [r for r in can_go if r.weight <= room]
            if not found and not taker.ranges:
                # A shard with nothing may get a range that is more than its share: half of two ranges cannot be had.
                found = can_go
            if found:
                return giver, taker, min(found, key=lambda r: (abs(r.weight - wanted), r.name))
    return None
