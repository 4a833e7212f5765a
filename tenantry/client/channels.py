"""Channels to the gateways: one for each, one of them in use, left for the next when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from tenantry.client.errors import ClientError, Unreachable, from_rpc

_OPTIONS = (
    ("grpc.max_receive_message_length", 256 * 1024 * 1024),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Also how long connecting may take, which a machine that is gone does not refuse.
    ("grpc.min_reconnect_backoff_ms", 3_000),
)
_LEAVE = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    )
)
ATTEMPT_SECONDS = 2.5
"""What one of several gateways gets at least, before the next is asked: one that waits for a newer generation takes 2 s."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who asks, and whom to believe; PEM. Services take callers with a certificate of their CA only."""

    ca: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def read(cls, ca: Path | str, certificate: Path | str, key: Path | str) -> Credentials:
        """From files. Raises OSError."""
        return cls(Path(ca).read_bytes(), Path(certificate).read_bytes(), Path(key).read_bytes())


class Channels:
    """Of grpc.aio, to be made and used on one event loop. `stub` makes the service's stub of a channel."""

    def __init__(self, addresses: Sequence[str], credentials: Credentials, stub: Callable[[grpc.aio.Channel], Any]) -> None:
        if not addresses:
            raise ValueError("no address is given: name at least one host:port")
        tls = grpc.ssl_channel_credentials(credentials.ca, credentials.key, credentials.certificate)
        self.addresses = tuple(addresses)
        # A pool of connections that channels share would have all streams of a process on one of them.
        options = (*_OPTIONS, ("grpc.use_local_subchannel_pool", 1))
        self._channels = [grpc.aio.secure_channel(address, tls, options=options) for address in addresses]
        self._stubs = [stub(channel) for channel in self._channels]
        self._at = 0

    @property
    def current(self) -> Any:
        """The stub in use."""
        return self._stubs[self._at]

    @property
    def address(self) -> str:
        return self.addresses[self._at]

    def leave(self, stub: Any) -> None:
        """Uses the next one from now on, if `stub` is still the one in use."""
        if self.current is stub:
            self._at = (self._at + 1) % len(self._stubs)

    async def call(self, method: str, request: Any, *, timeout_seconds: float) -> Any:
        """A unary call, made once more with each other gateway while they do not answer, until the time is over.

        Raises ClientError.
        """
        failed: ClientError | None = None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        for others in reversed(range(len(self._stubs))):
            left = deadline - loop.time()
            if left <= 0:
                break
            stub = self.current
            try:
                return await getattr(stub, method)(request, timeout=min(left, max(left / (others + 1), ATTEMPT_SECONDS)))
            except grpc.RpcError as error:
                failed = from_rpc(error)
                if failed.reason or error.code() not in _LEAVE:
                    try:
                        raise failed from None
                    finally:
                        del failed
                self.leave(stub)
        assert failed is not None
        raise Unreachable(f"no answer from {', '.join(self.addresses)}: {failed}", retry_after_seconds=failed.retry_after_seconds)

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()
