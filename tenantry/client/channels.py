"""gRPC channels to the replicas of a service: one channel for each, one of them in use, the next one after a failure."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

_OPTIONS: tuple[tuple[str, Any], ...] = (
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # This is also the connect timeout. It matters for a machine that is down, because nothing refuses the connection.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    # With the shared pool of gRPC, all streams of a process would use one connection.
    ("grpc.use_local_subchannel_pool", 1),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The CA of the servers, and the client's own certificate and key; all PEM.

    Services accept only callers with a certificate of their CA.
    """

    ca: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def read(cls, ca: Path | str, certificate: Path | str, key: Path | str) -> Credentials:
        """Reads the three files. Raises OSError."""
        return cls(Path(ca).read_bytes(), Path(certificate).read_bytes(), Path(key).read_bytes())


class _Connected:
    """The channels that were made with one certificate."""

    def __init__(self, channels: Sequence[grpc.aio.Channel], stub: Callable[[grpc.aio.Channel], Any]) -> None:
        self.channels = channels
        self.stubs = [stub(channel) for channel in channels]
        self.calls = 0
        """Number of calls in progress, including streams."""

    async def close(self) -> None:
        for channel in self.channels:
            await channel.close()


class Channels:
    """Channels of grpc.aio. Make and use them on one event loop.

    `addresses`: `host:port` of the replicas. `stub`: makes the service's stub for a channel. `server_name`: the name in the
    servers' certificates, if it is not the host of the address. `first`: index of the address to use first. Raises ValueError
    without an address.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        credentials: Credentials,
        stub: Callable[[grpc.aio.Channel], Any],
        *,
        server_name: str = "",
        first: int = 0,
    ) -> None:
        if not addresses:
            raise ValueError("no address is given: name at least one host:port")
        self.addresses = tuple(addresses)
        self._stub = stub
        self._options = [*_OPTIONS, ("grpc.ssl_target_name_override", server_name)] if server_name else [*_OPTIONS]
        self._connected = self._connect(credentials)
        self._former: set[_Connected] = set()
        """Channels of former certificates on which calls are in progress."""
        self._closed = False
        self._at = first

    @property
    def address(self) -> str:
        """The address in use."""
        return self.addresses[self._at]

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Any]:
        """The stub for one call. Its channel stays open until the context ends, also if the certificate is renewed."""
        connected = self._connected
        connected.calls += 1
        try:
            yield connected.stubs[self._at]
        finally:
            connected.calls -= 1
            await self._close_unused(connected)

    def leave(self, stub: Any) -> None:
        """Uses the next address from now on, if `stub` is for the present one."""
        if any(connected.stubs[self._at] is stub for connected in (self._connected, *self._former)):
            self._at = (self._at + 1) % len(self.addresses)

    async def renew(self, credentials: Credentials) -> None:
        """Uses another certificate for new calls. Calls in progress keep their connections."""
        if self._closed:
            return
        former, self._connected = self._connected, self._connect(credentials)
        self._former.add(former)
        await self._close_unused(former)

    async def close(self) -> None:
        """Closes all connections and ends the calls on them."""
        self._closed = True
        for connected in (*self._former, self._connected):
            await connected.close()
        self._former.clear()

    def _connect(self, credentials: Credentials) -> _Connected:
        tls = grpc.ssl_channel_credentials(credentials.ca, credentials.key, credentials.certificate)
        channels = [grpc.aio.secure_channel(address, tls, options=self._options) for address in self.addresses]
        return _Connected(channels, self._stub)

    async def _close_unused(self, connected: _Connected) -> None:
        """Closes the channels of a former certificate after their last call."""
        if connected in self._former and not connected.calls:
            self._former.discard(connected)
            await connected.close()
