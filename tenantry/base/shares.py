"""A bounded amount of something that many take from, so that none of them can have all of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

LARGEST_SHARE = 0.5
"""The default of `largest`: half, so that the next owner finds as much again."""


class Shares:
    """`total` of what is counted (requests, bytes, connections), and who holds how much of it.

    What an owner may hold depends on what is free: with a `largest` share of one half, as much as is free. So one owner alone
    gets half of the total, two get a third each, n get 1/(n+1), and something is left for the next one (dynamic thresholds,
    Choudhury and Hahne 1998). A first piece that fits into what is free is never refused. With a `largest` of 1 the total is the
    only bound. Nothing is kept of owners that hold nothing.

    An amount is taken in the name of several owners, such as a tenant and a user: each of them must have room for it. Without
    owners the total alone counts.
    """

    __slots__ = ("_by_owner", "_ratio", "name", "refused", "total", "used")

    def __init__(self, name: str, total: int, *, largest: float = LARGEST_SHARE) -> None:
        """`name` of the limit in metrics. `largest`: above 0, at most 1. Raises ValueError."""
        if not 0 < largest <= 1:
            raise ValueError(f"a share is above 0 and at most 1, not {largest}")
        self.name = name
        self.total = total
        self.used = 0
        self.refused = 0
        """How often there was no room."""
        self._ratio = largest / (1 - largest) if largest < 1 else float("inf")
        self._by_owner: dict[Hashable, int] = {}

    def fits(self, owners: Iterable[Hashable], amount: int = 1) -> bool:
        """Whether `take` would be granted now."""
        free = self.total - self.used
        if amount > free:
            return False
        allowed = free * self._ratio
        if self.used + amount <= allowed:
            # No owner holds more than all of them together.
            return True
        by_owner = self._by_owner
        for owner in owners:
            held = by_owner.get(owner)
            if held and held + amount > allowed:
                return False
        return True

    def take(self, owners: Iterable[Hashable], amount: int = 1) -> bool:
        """Takes an amount if all owners have room for it, and counts a refusal. It is given back with the same owners."""
        if self.grant(owners, amount):
            return True
        self.refused += 1
        return False

    def grant(self, owners: Iterable[Hashable], amount: int = 1) -> bool:
        """As `take`, for callers that wait when there is no room: that is not counted as a refusal."""
        if not self.fits(owners, amount):
            return False
        self.hold(owners, amount)
        return True

    def hold(self, owners: Iterable[Hashable], amount: int = 1) -> None:
        """Takes what `fits` just said there is room for."""
        if not amount:
            # An entry of 0 would be deleted by the first of two that give nothing back.
            return
        self.used += amount
        by_owner = self._by_owner
        for owner in owners:
            by_owner[owner] = by_owner.get(owner, 0) + amount

    def give(self, owners: Iterable[Hashable], amount: int = 1) -> None:
        """Gives back what was taken."""
        if not amount:
            return
        self.used -= amount
        by_owner = self._by_owner
        for owner in owners:
            held = by_owner[owner] - amount
            if held:
                by_owner[owner] = held
            else:
                del by_owner[owner]

    def held(self, owner: Hashable) -> int:
        """How much an owner holds."""
        return self._by_owner.get(owner, 0)

    @property
    def largest(self) -> int:
        """What the owner with the most holds."""
        return max(self._by_owner.values(), default=0)

    def __repr__(self) -> str:
        return f"<Shares {self.name}: {self.used} of {self.total}, {len(self._by_owner)} owners>"
