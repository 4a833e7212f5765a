"""The connections of a server: their limit, and which one is closed when there are too many.

Connections without accepted credentials have a limit of their own: when it is reached, the oldest of them is closed. The idle
time of such connections is limited too, and so are the time and memory of incomplete request heads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice

from tenantry.base.shares import Shares
from tenantry.http.callers import UNAUTHENTICATED
from tenantry.http.client_connection import ClientConnection
from tenantry.http.limits import Limits

_OWNERLESS: tuple[Hashable, ...] = ()
_LOOKED_AT = 32
"""How many of the oldest connections are searched for an idle one to close. If all are busy, the oldest is closed."""


class Connections:
    """The connections of one server. `memory`: the bytes of incomplete heads and of all bodies."""

    def __init__(self, limits: Limits, memory: Shares) -> None:
        self.open = Shares("connections", limits.connections, largest=limits.largest_share)
        self.all: set[ClientConnection] = set()
        self.unproven: OrderedDict[ClientConnection, float] = OrderedDict()
        """Connections without accepted credentials, and when they last had an answer (loop time), the oldest first."""
        self.memory = memory
        self.limits = limits
        self.evicted = 0
        """How many connections were closed to make room for others."""
        self.slow = 0
        """How many connections were closed because a request head did not arrive in time."""
        self._heads: OrderedDict[ClientConnection, float] = OrderedDict()

    def add(self, connection: ClientConnection, now: float) -> None:
        """Adds a connection. If there are too many, it or an older one is closed."""
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
        """Removes a connection that is closed or about to be."""
        self.all.discard(connection)
        if connection.counted:
            connection.counted = False
            self.open.give(connection.owners)
            connection.owners = _OWNERLESS
        self.unproven.pop(connection, None)
        self.head_ended(connection)

    def prove(self, connection: ClientConnection, owners: tuple[Hashable, ...]) -> bool:
        """Called when credentials were accepted on a connection. From now on it uses the share of `owners`. Returns False if they
        have too many connections; then close it after its answer."""
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
        """Called when a connection without accepted credentials had an answer. It becomes the newest of those."""
        if connection in self.unproven:
            self.unproven[connection] = now
            self.unproven.move_to_end(connection)

    def head_piece(self, connection: ClientConnection, size: int, now: float) -> bool:
        """Counts a piece of a request head, or of requests after the present one. Returns False if that is too much."""
        if not connection.head_bytes:
            self._heads[connection] = now
        if connection.head_bytes + size > self.limits.head_bytes:
            return False
        if not connection.head_bytes:
            # All pieces of a head use the share of the same owners, even if credentials are accepted in between.
            connection.head_owners = connection.owners or (UNAUTHENTICATED,)
        if not self.memory.take(connection.head_owners, size):
            return False
        connection.head_bytes += size
        return True

    def head_ended(self, connection: ClientConnection) -> None:
        """Called when a request head is complete, or never will be."""
        self._heads.pop(connection, None)
        if connection.head_bytes:
            self.memory.give(connection.head_owners, connection.head_bytes)
            connection.head_bytes = 0

    def tick(self, now: float) -> None:
        """Closes connections whose request head takes too long, and idle ones without accepted credentials. `now`: loop time."""
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
