"""Leases of the engines that run in this process: the deadline of each lease. The engine knows which keys a lease has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from tenantry.storage.store import LeaseGone


class Leases:
    """The deadlines of leases. `clock`: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ttls: dict[int, float] = {}
        self._deadlines: dict[int, float] = {}

    def __contains__(self, lease: int) -> bool:
        return lease in self._ttls

    def add(self, lease: int, ttl_seconds: float) -> None:
        self._ttls[lease] = ttl_seconds
        self._deadlines[lease] = self._clock() + ttl_seconds

    def renew(self, lease: int) -> float:
        """Renews a lease and returns the seconds left. Raises LeaseGone, also if the deadline has passed."""
        if lease not in self._ttls or self._deadlines[lease] <= self._clock():
            raise LeaseGone(lease)
        self.add(lease, self._ttls[lease])
        return self._ttls[lease]

    def remove(self, lease: int) -> None:
        self._ttls.pop(lease, None)
        self._deadlines.pop(lease, None)

    def expired(self) -> Iterable[int]:
        now = self._clock()
        return [lease for lease, deadline in self._deadlines.items() if deadline <= now]

    def seconds_to_next(self) -> float | None:
        """The seconds until the next lease expires, at least 0. None: there is no lease."""
        if not self._deadlines:
            return None
        return max(0.0, min(self._deadlines.values()) - self._clock())
