"""What the answer of a server that a tenant names takes while it is received: bytes of the tenant's share, and the time in which
the loop decrypts it."""

from __future__ import annotations

import asyncio

from tenantry.base.shares import Shares
from tenantry.http.pacing import Pacing

SMALL_BYTES = 32 << 10
"""So much of an answer is part of what a call takes in any case, and is read at once."""
BYTES_PER_SECOND = 16 << 20
"""How fast all large answers together are read. They come from tenants that do something else than others do: an AdmissionReview
is answered in a few hundred bytes, and 1 MiB of converted objects takes 60 ms."""


class NoRoom(Exception):
    """The tenant's answers in flight fill its share."""


class AnswerIntake:
    """The intake of one answer. `held_bytes`: to be given back to `shares` at its end."""

    __slots__ = ("_owner", "_pacing", "_shares", "held_bytes", "received_bytes")

    def __init__(self, shares: Shares, pacing: Pacing, owner: str) -> None:
        self._shares = shares
        self._pacing = pacing
        self._owner = owner
        self.held_bytes = 0
        self.received_bytes = 0

    def received(self, size: int) -> asyncio.Future[None] | None:
        """Counts a piece. Returns the turn for which the next one waits, None where it may be read at once. Raises NoRoom."""
        self.received_bytes += size
        wanted = self.received_bytes - SMALL_BYTES - self.held_bytes
        if wanted <= 0:
            return None
        if not self._shares.grant((self._owner,), wanted):
            self._shares.refused += 1
            raise NoRoom
        self.held_bytes += wanted
        return self._pacing.turn((self._owner,), size)
