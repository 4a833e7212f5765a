"""The connections of a server: how many there may be, and which one is closed when there are too many.

Those on which no credentials were accepted yet are bounded apart: the oldest of them makes room for the next. How long they may
be idle, and what half-sent heads of requests may take of time and memory, is bounded too.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice

from tenantry.base.shares import Shares
from tenantry.http.callers import NOBODY
from tenantry.http.client_connection import ClientConnection
from tenantry.http.limits import Limits

_OWNERLESS: tuple[Hashable, ...] = ()
_LOOKED_AT = 32
"""Among so many of the oldest an idle one is closed rather than one that is busy."""


class Connections:
    """The connections of one server. `memory` counts the bytes of heads that are not whole yet, and of all bodies."""

    def __init__(self, limits: Limits, memory: Shares) -> None:
        self.open = Shares("connections", limits.connections, largest=limits.largest_share)
        self.all: set[ClientConnection] = set()
        self.unproven: OrderedDict[ClientConnection, float] = OrderedDict()
        """Those without accepted credentials, and when they were last heard of, the oldest first."""
        self.memory = memory
        self.limits = limits
        self.evicted = 0
        """How many made room for others."""
        self.slow = 0
        """How many were closed because a request's head did not come in time."""
        self._heads: OrderedDict[ClientConnection, float] = OrderedDict()

    def add(self, connection: ClientConnection, now: float) -> None:
        """A new connection. Where there are too many, it or an older one is closed."""
        self.all.add(connection)
        if not self.open.take(_OWNERLESS):
            # Connections with accepted credentials are not closed for one without.
            if not self.unproven:
                connection.cut()
                return
            self._evict()
            self.open.grant(_OWNERLESS)
        connection.counted = True
        if len(self.unproven) >= self.limits.unauthenticated_connections:
            self._evict()
        self.unproven[connection] = now

    def remove(self, connection: ClientConnection) -> None:
        """One that ended, or is about to."""
        self.all.discard(connection)
        if connection.counted:
            connection.counted = False
            self.open.give(connection.owners)
            connection.owners = _OWNERLESS
        self.unproven.pop(connection, None)
        self.head_ended(connection)

    def prove(self, connection: ClientConnection, owners: tuple[Hashable, ...]) -> bool:
        """The credentials of the connection's caller were accepted: it counts for `owners` from now on. False where they have too
        many connections: this one is to be closed after its answer."""
        if connection.proven or not connection.counted:
            return True
        self.open.give(_OWNERLESS)
        if not self.open.take(owners):
            self.open.grant(_OWNERLESS)
            return False
        connection.owners = owners
        connection.proven = True
        self.unproven.pop(connection, None)
        return True

    def answered(self, connection: ClientConnection, now: float) -> None:
        """A connection without accepted credentials had an answer: it is the newest of those again."""
        if connection in self.unproven:
            self.unproven[connection] = now
            self.unproven.move_to_end(connection)

    def head_piece(self, connection: ClientConnection, size: int, now: float) -> bool:
        """A part of a request's head came, or of requests behind the one that is answered. False where that is too much."""
        if not connection.head_bytes:
            self._heads[connection] = now
        if connection.head_bytes + size > self.limits.head_bytes:
            return False
        if not connection.head_bytes:
            # All pieces of a head count for the owners of its first one, though credentials may be accepted meanwhile.
            connection.head_owners = connection.owners or (NOBODY,)
        if not self.memory.take(connection.head_owners, size):
            return False
        connection.head_bytes += size
        return True

    def head_ended(self, connection: ClientConnection) -> None:
        """The head of its request is whole, or will never be."""
        self._heads.pop(connection, None)
        if connection.head_bytes:
            self.memory.give(connection.head_owners, connection.head_bytes)
            connection.head_bytes = 0

    def tick(self, now: float) -> None:
        """Closes connections whose head takes too long, and idle ones without accepted credentials; `now` by the loop's clock."""
        limits = self.limits
        while self._heads:
            connection, since = next(iter(self._heads.items()))
            if now - since <= limits.head_timeout_seconds:
                break
            del self._heads[connection]
            self.slow += 1
            connection.cut()
        border = now - limits.unauthenticated_idle_seconds
        while self.unproven:
            connection, since = next(iter(self.unproven.items()))
            if since > border:
                break
            if connection.busy:
                self.answered(connection, now)
            else:
                self.remove(connection)
                connection.cut()

    def _evict(self) -> None:
        self.evicted += 1
        oldest = list(islice(self.unproven, _LOOKED_AT))
        chosen = next((connection for connection in oldest if not connection.busy), oldest[0])
        self.remove(chosen)
        chosen.cut()
