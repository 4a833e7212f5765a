"""Connections in the TLS handshake. Their number, their time, and their part of each turn of the event loop are bounded.

    accepted ──► room? ──► its turn ──► handshake, a step for each packet ──► a `Connection` of the server
                  │ no: the oldest of its address       │ the turn is used up: waits, by address
                  │ is closed

The client has sent no credentials yet. Such a connection costs about 40 KB, and about a millisecond of the loop, most of it in
one step.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Any, Self, cast

from tenantry.base.fair_queue import FairQueue
from tenantry.base.shares import Shares
from tenantry.base.tasks import call, restarting
from tenantry.http.limits import Limits
from tenantry.http.tls_alerts import AlertingObject, use_objects

logger = logging.getLogger(__name__)

TURN_SECONDS = 0.004
"""How long handshakes may run in one turn of the loop."""
_START_SECONDS = 0.0003
"""The estimated time of starting and ending a handshake, without the cryptography, which is measured."""
_LARGEST_SHARE = 0.9
"""The largest share of all handshakes that one address can have. It is nearly all, because many clients share an address behind a
proxy or NAT, but never all."""
_LOOKED_AT = 32
"""How many of the oldest handshakes are compared when one has to be closed."""
_BACKSTOP_SECONDS = 5.0
"""How long after the limit of a handshake the event loop itself ends it. `tick` should do it earlier."""


class ServerContext(ssl.SSLContext):
    """The TLS context of a server. `starting`: handshakes for which the loop has not created a TLS object yet. It creates them in
    the order in which handshakes start, so the first handshake belongs to the next object."""

    starting: deque[Handshake]

    @classmethod
    def make(cls) -> ServerContext:
        """Creates a context without a certificate."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context.starting = deque()
        use_objects(context, PacedObject)
        return context


class PacedObject(AlertingObject):
    """The TLS object of one connection. If a turn has no time for a step of its handshake, it raises SSLWantReadError, as if it
    waited for more bytes."""

    _handshake: Handshake | None

    @classmethod
    def _create(cls, incoming: ssl.MemoryBIO, *args: Any, **kwargs: Any) -> Self:
        made = super()._create(incoming, *args, **kwargs)
        context = kwargs.get("context")
        waiting = context.starting if isinstance(context, ServerContext) else None
        made._handshake = waiting.popleft() if waiting else None
        if made._handshake is not None:
            incoming.write(made._handshake.taken())
        return made

    def do_handshake(self) -> None:
        handshake = self._handshake
        if handshake is None or not self._incoming.pending:
            super().do_handshake()
            return
        if not handshake.may_work():
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "others are first")
        began = perf_counter()
        try:
            super().do_handshake()
        finally:
            handshake.worked(perf_counter() - began)


class Handshake(asyncio.Protocol):
    """A connection until its handshake has ended. After that it forwards events to the protocol of the server, `made`."""

    __slots__ = ("_data", "_eof", "_pool", "made", "queued", "raw", "remote", "started")

    def __init__(self, pool: Handshakes) -> None:
        self._pool = pool
        self._data: list[bytes] = []
        self._eof = False
        self.raw: asyncio.Transport | None = None
        self.remote = ""
        self.started = False
        self.queued = False
        self.made: asyncio.Protocol | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self.raw = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.remote = peer[0] if isinstance(peer, tuple) else ""
        self.raw.pause_reading()
        self._pool.add(self)

    def data_received(self, data: bytes) -> None:
        """Receives bytes before the handshake starts (uvloop reads before it can be paused), and after its end (bytes that
        arrived with the last packet of the handshake)."""
        if self.made is not None:
            self.made.data_received(data)
            return
        self._data.append(data)
        if not self.started and self.raw is not None:
            self.raw.pause_reading()

    def eof_received(self) -> bool | None:
        if self.made is not None:
            return self.made.eof_received()
        self._eof = True
        return None

    def connection_lost(self, error: Exception | None) -> None:
        self._pool.remove(self)
        if self.made is not None:
            self.made.connection_lost(error)

    def taken(self) -> bytes:
        """Returns the received bytes, and removes them."""
        data = b"".join(self._data)
        self._data.clear()
        return data

    def may_work(self) -> bool:
        """See `Handshakes.may_work`."""
        return self._pool.may_work(self)

    def worked(self, seconds: float) -> None:
        """Counts a step of the handshake that kept the loop for `seconds`."""
        self._pool.spent(seconds)

    def go_on(self) -> None:
        """Starts the handshake, or continues with the step that had to wait. Called when it is its turn."""
        raw = self.raw
        if raw is None or raw.is_closing():
            return
        if not self.started:
            self._pool.start(self)
            return
        # There are no new bytes. This makes the loop's TLS protocol try the handshake again.
        cast(asyncio.BufferedProtocol, raw.get_protocol()).buffer_updated(0)

    def hand_over(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        """Gives the connection to `protocol` after the handshake."""
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        self.made = protocol
        if data := self.taken():
            protocol.data_received(data)
        if self._eof:
            protocol.eof_received()

    def cut(self) -> None:
        """Aborts the connection."""
        if self.raw is not None:
            self.raw.abort()


class Handshakes:
    """The handshakes of one server. `make`: creates the protocol of a connection after its handshake. `tls`: the context of new
    connections, which may be replaced; None for plain HTTP."""

    def __init__(self, limits: Limits, make: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None) -> None:
        self.open = Shares("tls_handshakes", limits.tls_handshakes, largest=_LARGEST_SHARE)
        self.evicted = 0
        """How many handshakes were closed to make room for others."""
        self.late = 0
        """How many handshakes did not end in time."""
        self.tls = tls
        self._make = make
        self._limits = limits
        self._all: OrderedDict[Handshake, float] = OrderedDict()
        """All handshakes, and when they began (loop time), the oldest first."""
        self._by_address: dict[str, OrderedDict[Handshake, None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._queue: FairQueue[Handshake] = FairQueue()
        self._used_seconds = 0.0
        self._armed = False
        self._admitting = False

    def protocol(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return Handshake(self)

    def add(self, handshake: Handshake) -> None:
        """Adds an accepted connection. If there are too many, an older one is closed."""
        address = handshake.remote
        while not self.open.take((address,)):
            self._evict(address)
        self._all[handshake] = asyncio.get_running_loop().time()
        self._by_address.setdefault(address, OrderedDict())[handshake] = None
        if self.may_work(handshake):
            self.start(handshake)

    def may_work(self, handshake: Handshake) -> bool:
        """Whether this turn of the loop has time for a step of a handshake. If not, it is queued, and `go_on` is called later."""
        if self._admitting:
            return True
        if self._used_seconds < TURN_SECONDS and not self._queue:
            return True
        if not handshake.queued:
            handshake.queued = True
            self._queue.push((handshake.remote,), handshake)
        self._arm()
        return False

    def spent(self, seconds: float) -> None:
        """Counts `seconds` for which handshakes kept the loop in this turn."""
        self._used_seconds += seconds
        self._arm()

    def _arm(self) -> None:
        if not self._armed:
            self._armed = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def start(self, handshake: Handshake) -> None:
        """Starts a handshake."""
        handshake.started = True
        self.spent(_START_SECONDS)
        task = restarting(partial(self._shake, handshake), name="TLS handshake", ends=True)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def remove(self, handshake: Handshake) -> None:
        """Removes a handshake that has ended, successfully or not."""
        if self._all.pop(handshake, None) is not None:
            address = handshake.remote
            self.open.give((address,))
            own = self._by_address[address]
            del own[handshake]
            if not own:
                del self._by_address[address]
        if handshake.queued:
            handshake.queued = False
            self._queue.remove((handshake.remote,), handshake)

    def tick(self, now: float) -> None:
        """Closes connections whose handshake takes too long. `now`: by the loop's clock."""
        border = now - self._limits.tls_handshake_timeout_seconds
        while self._all:
            handshake, since = next(iter(self._all.items()))
            if since > border:
                break
            self.late += 1
            self.remove(handshake)
            handshake.cut()

    async def stop(self) -> None:
        """Aborts all handshakes."""
        for handshake in list(self._all):
            self.remove(handshake)
            handshake.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _evict(self, address: str) -> None:
        """Closes a handshake to make room for a new one from an address: the oldest one of that address, so that no address
        displaces others. If it has none, one of the oldest of all, from the address with the most handshakes."""
        self.evicted += 1
        own = self._by_address.get(address)
        if own:
            handshake = next(iter(own))
        else:
            handshake = max(islice(self._all, _LOOKED_AT), key=lambda each: len(self._by_address[each.remote]))
        self.remove(handshake)
        handshake.cut()

    def _next_turn(self) -> None:
        self._armed = False
        self._used_seconds = 0.0
        self._admitting = True
        try:
            while self._used_seconds < TURN_SECONDS and (found := self._queue.pop()) is not None:
                handshake = found[1]
                handshake.queued = False
                call(handshake.go_on, "a step of a TLS handshake")
        finally:
            self._admitting = False
        if self._queue:
            self._arm()

    async def _shake(self, handshake: Handshake) -> None:
        raw, tls = handshake.raw, self.tls
        assert raw is not None and tls is not None
        if raw.is_closing():
            self.remove(handshake)
            return
        waiting = tls.starting if isinstance(tls, ServerContext) else None
        if waiting is not None:
            waiting.append(handshake)
        transport: asyncio.Transport | None = None
        try:
            transport = await asyncio.get_running_loop().start_tls(
                raw,
                handshake,
                tls,
                server_side=True,
                ssl_handshake_timeout=self._limits.tls_handshake_timeout_seconds + _BACKSTOP_SECONDS,
            )
        except OSError as error:
            # Port scans, probes, and clients that do not trust this server. An operator can do nothing about them.
            logger.debug("TLS handshake failed", extra={"remote": handshake.remote, "error": str(error)})
        except Exception:  # an error of one connection must not affect others
            logger.exception("TLS handshake failed")
            handshake.cut()
        finally:
            if waiting is not None and handshake in waiting:
                waiting.remove(handshake)
            self.remove(handshake)
        # A connection that was aborted during the handshake has a transport too.
        if transport is not None and not raw.is_closing():
            handshake.hand_over(transport, self._make())
