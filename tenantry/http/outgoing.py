"""Calls to HTTPS servers that tenants name (webhooks): which addresses are called, how many calls a tenant has at a time, and the
connections that are kept.

It is not aiohttp's client, which costs the event loop twice as much for each call. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict, deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from tenantry.base.allocator import free_pages
from tenantry.base.shares import Shares
from tenantry.http.answer_intake import BYTES_PER_SECOND, AnswerIntake
from tenantry.http.name_lookups import NameLookups
from tenantry.http.outgoing_connection import Deadlines, OutgoingAnswer, OutgoingConnection, OutgoingError, deadline_exceeded
from tenantry.http.pacing import Pacing
from tenantry.http.reachable_networks import ReachableNetworks
from tenantry.http.trust import TrustContexts

IN_FLIGHT_BYTES = 64 << 20
"""Requests and answers that are in flight, of all tenants."""
_CALL_BYTES = 32 << 10
"""About what a call takes beside its request and its answer: the buffers of TLS."""
ANSWER_BYTES_MAX = 4 << 20
_WAITING_OF_ONE = 1024
"""Calls of a tenant that wait for other calls of it. Its writes wait with them, and their number is limited too."""
_IDLE_MAX = 256
_IDLE_OF_ONE = 8
_IDLE_SECONDS = 30.0
_TEXT_MAX = 200
_ADDRESSES_MAX = 4
"""So many addresses of a host are tried."""


class Destination(NamedTuple):
    """A server. `server_name`: the name in its certificate; that of the host where it is empty. `bundle`: the certificates that
    are trusted (PEM), empty for those that the machine trusts. `guarded`: whether `ReachableNetworks` says if it may be called;
    the addresses of services come from the operator."""

    host: str
    port: int
    bundle: bytes = b""
    server_name: str = ""
    guarded: bool = True


T = TypeVar("T")
_Waiter = tuple[int, asyncio.Future[None]]


class OutgoingCalls:
    """The calls of a process. `close` when it ends."""

    def __init__(
        self,
        networks: ReachableNetworks,
        *,
        in_flight_bytes: int = IN_FLIGHT_BYTES,
        answer_bytes_per_second: int = BYTES_PER_SECOND,
    ) -> None:
        self.shares = Shares("webhook_call_bytes", in_flight_bytes)
        self.lookups = NameLookups()
        self._networks = networks
        self.trust = TrustContexts()
        self._pacing = Pacing(answer_bytes_per_second, lambda: True)
        self._idle: OrderedDict[tuple[str, Destination], list[OutgoingConnection]] = OrderedDict()
        self._idle_count = 0
        self._waiting: dict[str, deque[_Waiter]] = {}
        self._deadlines = Deadlines()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self.opened = 0
        """How many connections were opened so far."""

    @property
    def idle(self) -> int:
        """How many connections are idle."""
        return self._idle_count

    def close(self) -> None:
        """Closes the idle connections, and ends what waits. Calls in flight end with their requests."""
        self._closed = True
        self._deadlines.close()
        self.lookups.close()
        self.trust.close()
        if self._sweep is not None:
            self._sweep.cancel()
        for kept in self._idle.values():
            for connection in kept:
                connection.abort()
        self._idle.clear()
        self._idle_count = 0
        for waiters in self._waiting.values():
            for _, waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(OutgoingError("the server is stopping"))
        self._waiting.clear()

    async def call(self, to: Destination, request: bytes, *, owner: str, deadline: float) -> OutgoingAnswer:
        """Sends a whole request, head and body. `owner`: the tenant. `deadline`: time of the event loop. Raises OutgoingError."""
        size = len(request) + _CALL_BYTES
        if not self._granted(owner, size):
            await _within(deadline, self._wait(owner, size))
        intake = AnswerIntake(self.shares, self._pacing, owner)
        try:
            return await self._exchange(to, request, owner, intake, deadline)
        finally:
            self._give(owner, size + intake.held_bytes)
            free_pages.passed(intake.received_bytes)

    async def _exchange(
        self, to: Destination, request: bytes, owner: str, intake: AnswerIntake, deadline: float
    ) -> OutgoingAnswer:
        # Connections are not shared between tenants: what one of them presents is none of another's business.
        key = (owner, to)
        connection = self._kept(key)
        if connection is not None:
            try:
                answer = await connection.exchange(request, ANSWER_BYTES_MAX, intake, self._deadlines, deadline)
            except OutgoingError as error:
                if not error.unanswered:
                    raise
            else:
                self._keep(key, connection)
                return answer
        connection = await _within(deadline, self._connect(to, owner))
        answer = await connection.exchange(request, ANSWER_BYTES_MAX, intake, self._deadlines, deadline)
        self._keep(key, connection)
        return answer

    async def _connect(self, to: Destination, owner: str) -> OutgoingConnection:
        tls = self.trust.known(to.bundle)
        if tls is None:
            try:
                tls = await self.trust.of(to.bundle, owner)
            except ValueError as error:
                raise OutgoingError(str(error)) from None
        addresses: Sequence[str] = (to.host,)
        if not _is_address(to.host):
            addresses = await self.lookups.addresses(to.host, owner)
        if to.guarded:
            allowed = [address for address in addresses if self._networks.allow(address)]
            if not allowed:
                raise OutgoingError(
                    f"dial tcp {_joined(addresses[0], to.port)}: connect: the server does not call this address "
                    "(--webhook-networks)"
                )
            addresses = allowed[:_ADDRESSES_MAX]
        for address in addresses[:-1]:
            with suppress(OutgoingError):
                return await self._dial(address, to, tls)
        return await self._dial(addresses[-1], to, tls)

    async def _dial(self, address: str, to: Destination, tls: ssl.SSLContext) -> OutgoingConnection:
        loop = asyncio.get_running_loop()
        name = to.server_name or to.host
        try:
            _, protocol = await loop.create_connection(OutgoingConnection, address, to.port, ssl=tls, server_hostname=name)
        except ssl.SSLCertVerificationError as error:
            raise OutgoingError(f"tls: failed to verify certificate: x509: {_unverified(error, name)}") from None
        except ssl.SSLError as error:
            raise OutgoingError(_tls_text(error)) from None
        except ConnectionRefusedError:
            raise OutgoingError(f"dial tcp {_joined(address, to.port)}: connect: connection refused") from None
        except ConnectionError:
            raise OutgoingError("EOF") from None
        except OSError as error:
            why = (error.strerror or str(error))[:_TEXT_MAX].lower()
            raise OutgoingError(f"dial tcp {_joined(address, to.port)}: connect: {why}") from None
        self.opened += 1
        return protocol

    # Connections that are kept

    def _kept(self, key: tuple[str, Destination]) -> OutgoingConnection | None:
        kept = self._idle.get(key)
        while kept:
            connection = kept.pop()
            self._idle_count -= 1
            if not kept:
                del self._idle[key]
            if connection.usable:
                connection.reused = True
                return connection
        return None

    def _keep(self, key: tuple[str, Destination], connection: OutgoingConnection) -> None:
        if not connection.usable:
            return
        idle = self._idle
        kept = idle.get(key)
        if self._closed or (kept is not None and len(kept) >= _IDLE_OF_ONE):
            connection.abort()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        if kept is None:
            idle[key] = [connection]
        else:
            kept.append(connection)
            idle.move_to_end(key)
        self._idle_count += 1
        while self._idle_count > _IDLE_MAX:
            self._close_oldest()
        if self._sweep is None:
            self._sweep = loop.call_later(_IDLE_SECONDS, self._close_old)

    def _close_oldest(self) -> None:
        key, kept = next(iter(self._idle.items()))
        kept.pop(0).abort()
        self._idle_count -= 1
        if not kept:
            del self._idle[key]

    def _close_old(self) -> None:
        loop = asyncio.get_running_loop()
        border = loop.time() - _IDLE_SECONDS
        for key, kept in list(self._idle.items()):
            young = [connection for connection in kept if connection.usable and connection.idle_since > border]
            for connection in kept:
                if connection not in young:
                    connection.abort()
            self._idle_count -= len(kept) - len(young)
            if young:
                self._idle[key] = young
            else:
                del self._idle[key]
        self._sweep = loop.call_later(_IDLE_SECONDS / 2, self._close_old) if self._idle and not self._closed else None

    # What a tenant has in flight

    def _granted(self, owner: str, size: int) -> bool:
        """Whether the owner may have so many bytes more in flight at once. Raises OutgoingError."""
        if self._closed:
            raise OutgoingError("the server is stopping")
        return owner not in self._waiting and self.shares.grant((owner,), size)

    async def _wait(self, owner: str, size: int) -> None:
        """Waits until the owner may have so many bytes more in flight. A tenant waits for itself: others have their share."""
        waiters = self._waiting.setdefault(owner, deque())
        if size > self.shares.total // 4 or len(waiters) >= _WAITING_OF_ONE:
            self.shares.refused += 1
            raise OutgoingError("too many calls are in flight")
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters.append((size, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                # It was granted in the same turn.
                self._give(owner, size)
            raise

    def _give(self, owner: str, size: int) -> None:
        self.shares.give((owner,), size)
        if not self._waiting:
            return
        for name in list(self._waiting):
            waiters = self._waiting[name]
            while waiters:
                wanted, granted = waiters[0]
                if not granted.done():
                    if not self.shares.grant((name,), wanted):
                        break
                    granted.set_result(None)
                waiters.popleft()
            if not waiters:
                del self._waiting[name]


async def _within(deadline: float, work: Coroutine[Any, Any, T]) -> T:
    """Raises OutgoingError at the deadline."""
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError:
        raise deadline_exceeded() from None


def _is_address(host: str) -> bool:
    return host.replace(".", "").isdigit() or ":" in host


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _unverified(error: ssl.SSLCertVerificationError, name: str) -> str:
    """The text of Go's crypto/x509 for OpenSSL's reason."""
    text = (error.verify_message or "").lower()
    if "mismatch" in text:
        return f"certificate is not valid for {name}"
    if "expired" in text or "not yet valid" in text:
        return "certificate has expired or is not yet valid"
    if "unable to get" in text or "self-signed" in text or "self signed" in text:
        return "certificate signed by unknown authority"
    return text[:_TEXT_MAX] or "certificate signed by unknown authority"


def _tls_text(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if reason in ("HTTP_REQUEST", "WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
        return "http: server gave HTTP response to HTTPS client"
    return f"tls: {reason.lower().replace('_', ' ') or str(error)[:_TEXT_MAX]}"
