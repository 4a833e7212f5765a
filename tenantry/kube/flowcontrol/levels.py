"""Priority levels: how a number of seats is divided among them (KEP-1040, with borrowing from KEP-3926)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tenantry.kube.objects import Object


@dataclass(frozen=True, slots=True)
class Level:
    """A priority level. Seats are in requests: `nominal` is its part of all, it keeps at least `least` of them for itself, and
    has at most `most`, those that it borrows included. Without `queues` it refuses what has no seat. An exempt level has no
    limit."""

    name: str
    uid: str
    exempt: bool = False
    nominal: int = 0
    least: int = 0
    most: int = 0
    queues: int = 0
    hand: int = 0
    queue_length: int = 0

    def deal(self, hash_value: int) -> list[int]:
        """The hand of queues of a flow, by a hash of 64 bits: some of the queues, each once (shuffle sharding)."""
        remainders: list[int] = []
        for index in range(min(self.hand, self.queues)):
            hash_value, remainder = divmod(hash_value, self.queues - index)
            remainders.append(remainder)
        dealt: list[int] = []
        for index, card in enumerate(remainders):
            for earlier in reversed(remainders[:index]):
                if card >= earlier:
                    card += 1
            dealt.append(card)
        return dealt


def divided(specs: Iterable[tuple[str, str, Object]], seats: int) -> dict[str, Level]:
    """The levels by name. `specs`: name, uid and validated spec of each. `seats`: how many requests may be in progress in all."""
    found = list(specs)
    whole = sum(_shares(spec) for _, _, spec in found)
    return {name: _level(name, uid, spec, seats, whole) for name, uid, spec in found}


def _shares(spec: Object) -> int:
    part = spec.get("exempt" if spec.get("type") == "Exempt" else "limited") or {}
    return max(0, part.get("nominalConcurrencyShares") or 0)


def _level(name: str, uid: str, spec: Object, seats: int, whole: int) -> Level:
    if spec.get("type") == "Exempt":
        return Level(name, uid, exempt=True)
    limited = spec.get("limited") or {}
    nominal = math.ceil(seats * _shares(spec) / whole) if whole else 0
    lent = _percent(nominal, limited.get("lendablePercent") or 0)
    borrowing = limited.get("borrowingLimitPercent")
    borrowed = seats if borrowing is None else _percent(nominal, borrowing)
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    return Level(
        name,
        uid,
        nominal=nominal,
        least=nominal - lent,
        most=nominal + borrowed,
        queues=queuing.get("queues") or 0,
        hand=queuing.get("handSize") or 0,
        queue_length=queuing.get("queueLengthLimit") or 0,
    )


def _percent(seats: int, percent: int) -> int:
    """A part of seats, halves up."""
    return (seats * percent * 2 + 100) // 200


class Held:
    """How many seats each level of a plan has, summed up once for several questions. `held`: a level that has none may be
    missing."""

    __slots__ = ("_held", "_kept", "_levels", "_seats", "_used")

    def __init__(self, held: Mapping[str, int], levels: Mapping[str, Level], seats: int) -> None:
        self._held = held
        self._levels = levels
        self._seats = seats
        self._used = sum(held.values())
        self._kept: int | None = None
        """What levels keep for themselves and do not use."""

    def fits(self, level: Level) -> bool:
        """Whether a level may take one more seat.

        What a level keeps for itself is always free for it. It has the rest of its nominal part unless others have borrowed that,
        and borrows what no other level keeps for itself or uses.
        """
        mine = self._held.get(level.name, 0)
        if level.exempt or mine < level.least:
            return True
        if mine < level.nominal:
            return self._used < max(self._seats, level.nominal)
        if mine >= level.most:
            return False
        if self._kept is None:
            self._kept = sum(max(0, each.least - self._held.get(each.name, 0)) for each in self._levels.values())
        # This level uses all that it keeps.
        return self._used + self._kept < self._seats

    def took(self, level: Level | None) -> None:
        """Counts a seat that a level is going to take in `held`. None: one that is not in the plan any more."""
        self._used += 1
        if self._kept is not None and level is not None and self._held.get(level.name, 0) < level.least:
            self._kept -= 1


def fits(level: Level, held: Mapping[str, int], levels: Mapping[str, Level], seats: int) -> bool:
    """Whether a level may take one more seat (`Held`)."""
    return Held(held, levels, seats).fits(level)
