"""A bounded amount that many owners share, so that none of them can use all of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

LARGEST_SHARE = 0.5
"""The default of `largest`: half, so that the same amount is left for the next owner."""


class Shares:
    """A `total` amount (of requests, bytes or connections), and how much of it each owner uses.

    How much an owner may use depends on the free amount: with a `largest` share of one half, as much as is free. So one owner
    alone gets half of the total, two get a third each, n get 1/(n+1), and some is left for the next one (dynamic thresholds,
    Choudhury and Hahne 1998). The first piece of an owner is never refused if it fits into the free amount. With a `largest` of 1
    the total is the only limit. Owners that use nothing take no memory.

    An amount is taken for several owners, such as a tenant and a user. Each of them must have room for it. Without owners only
    the total counts.
    """

    __slots__ = ("_by_owner", "_ratio", "name", "refused", "total", "used")

    def __init__(self, name: str, total: int, *, largest: float = LARGEST_SHARE) -> None:
        """`name`: of the limit in metrics. `largest`: above 0, at most 1. Raises ValueError."""
        if not 0 < largest <= 1:
            raise ValueError(f"a share is above 0 and at most 1, not {largest}")
        self.name = name
        self.total = total
        self.used = 0
        self.refused = 0
        """How many times `take` was refused."""
        self._ratio = largest / (1 - largest) if largest < 1 else float("inf")
        self._by_owner: dict[Hashable, int] = {}

    def fits(self, owners: Iterable[Hashable], amount: int = 1) -> bool:
        """Whether `take` would succeed now."""
        free = self.total - self.used
        if amount > free:
            return False
        allowed = free * self._ratio
        if self.used + amount <= allowed:
            # No owner uses more than all owners together.
            return True
        by_owner = self._by_owner
        for owner in owners:
            held = by_owner.get(owner)
            if held and held + amount > allowed:
                return False
        return True

    def take(self, owners: Iterable[Hashable], amount: int = 1) -> bool:
        """Takes an amount if all owners have room for it. Returns False and counts a refusal otherwise. Give it back with the
        same owners."""
        if self.grant(owners, amount):
            return True
        self.refused += 1
        return False

    def grant(self, owners: Iterable[Hashable], amount: int = 1) -> bool:
        """As `take`, but it does not count a refusal. For callers that wait if there is no room."""
        if not self.fits(owners, amount):
            return False
        self.hold(owners, amount)
        return True

    def hold(self, owners: Iterable[Hashable], amount: int = 1) -> None:
        """Takes an amount without a check. Call it only after `fits`."""
        if not amount:
            # An entry of 0 would be deleted twice, by the two callers that give 0 back.
            return
        self.used += amount
        by_owner = self._by_owner
        for owner in owners:
            by_owner[owner] = by_owner.get(owner, 0) + amount

    def give(self, owners: Iterable[Hashable], amount: int = 1) -> None:
        """Gives back an amount that was taken."""
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
        """How much an owner uses."""
        return self._by_owner.get(owner, 0)

    @property
    def largest(self) -> int:
        """How much the owner with the largest share uses."""
        return max(self._by_owner.values(), default=0)

    def __repr__(self) -> str:
        return f"<Shares {self.name}: {self.used} of {self.total}, {len(self._by_owner)} owners>"
