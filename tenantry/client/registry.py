"""An asynchronous client of the registry: `tenantry.registry.v1.Registry`.

async with RegistryClient(["registry-0:6445", "registry-1:6445"], ca=…, certificate=…, key=…) as registry:
    name, version = await registry.open_range({"region": "eu"}, after_version=17)
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tenantry._proto.tenantry.registry.v1 import registry_pb2 as pb
from tenantry._proto.tenantry.registry.v1 import registry_pb2_grpc as stubs
from tenantry.base.backoff import Backoff

DEADLINE_SECONDS = 10.0
ATTEMPT_SECONDS = 3.0
"""For one replica, before another one is asked."""
FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 2.0
SILENCE_SECONDS = 30.0
"""A watch without a heartbeat for so long is broken."""
MESSAGE_LIMIT_BYTES = 64 * 1024 * 1024

T = TypeVar("T")


class RegistryError(Exception):
    """The registry refused, or no replica answered in time. `reason` is that of google.rpc's ErrorInfo, where there is one."""

    def __init__(self, code: grpc.StatusCode, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason


class OpenedRange(NamedTuple):
    """`version` is that of the map that shows the range."""

    name: str
    version: int


class _Channels:
    """One for each replica, all with the same certificate."""

    def __init__(self, channels: Sequence[grpc.aio.Channel]) -> None:
        self.channels = channels
        self.stubs = [stubs.RegistryStub(channel) for channel in channels]  # type: ignore[no-untyped-call]
        self.calls = 0
        """Under way, watches among them."""

    async def close(self) -> None:
        for channel in self.channels:
            await channel.close()


class RegistryClient:
    """`addresses`: `host:port` of the replicas; any will do, and one that does not answer is left for the next.

    `ca`, `certificate`, `key`: PEM. `server_name`: whom the servers' certificates name, where that is not the address's host.
    Everything here may be repeated without harm, so what did not arrive is sent again until the deadline.
    """

    def __init__(self, addresses: Sequence[str], *, ca: bytes, certificate: bytes, key: bytes, server_name: str = "") -> None:
        if not addresses:
            raise ValueError("no address of a registry is given")
        self._addresses = tuple(addresses)
        self._ca = ca
        self._server_name = server_name
        self._channels = self._connect(certificate, key)
        self._former: set[_Channels] = set()
        self._closed = False
        self._at = random.randrange(len(self._addresses))

    def __repr__(self) -> str:
        return f"<RegistryClient {', '.join(self._addresses)}>"

    async def __aenter__(self) -> RegistryClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all connections, and the calls and watches on them."""
        self._closed = True
        for channels in (*self._former, self._channels):
            await channels.close()
        self._former.clear()

    async def renew(self, certificate: bytes, key: bytes) -> None:
        """Shows another certificate (PEM) from now on. Calls and watches under way go on over the connections they have."""
        if self._closed:
            return
        former, self._channels = self._channels, self._connect(certificate, key)
        self._former.add(former)
        await self._close_unused(former)

    def _connect(self, certificate: bytes, key: bytes) -> _Channels:
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
            ("grpc.keepalive_time_ms", 10_000),
            ("grpc.keepalive_timeout_ms", 5_000),
            ("grpc.max_reconnect_backoff_ms", 2_000),
        ]
        if self._server_name:
            options.append(("grpc.ssl_target_name_override", self._server_name))
        credentials = grpc.ssl_channel_credentials(self._ca, key, certificate)
        return _Channels([grpc.aio.secure_channel(address, credentials, options) for address in self._addresses])

    @asynccontextmanager
    async def _stub(self) -> AsyncIterator[Any]:
        """The stub of the replica to call now. Its channel stays open until the call has ended."""
        channels = self._channels
        channels.calls += 1
        try:
            yield channels.stubs[self._at]
        finally:
            channels.calls -= 1
            await self._close_unused(channels)

    async def _close_unused(self, channels: _Channels) -> None:
        """Closes connections of a former certificate that nobody uses any more."""
        if channels in self._former and not channels.calls:
            self._former.discard(channels)
            await channels.close()

    async def open_range(
        self, labels: Mapping[str, str], after_version: int, *, deadline_seconds: float = DEADLINE_SECONDS
    ) -> OpenedRange:
        """A range with these labels that was opened after a version of the map, or a new one. Raises RegistryError."""
        request = pb.OpenRangeRequest(labels=labels, after_version=after_version)
        answer = await self._call(lambda stub, seconds: stub.OpenRange(request, timeout=seconds), deadline_seconds)
        return OpenedRange(answer.name, answer.version)

    async def ranges(self, *, deadline_seconds: float = DEADLINE_SECONDS) -> list[pb.Range]:
        """All ranges, in the order of their intervals. Raises RegistryError."""
        found: list[pb.Range] = []
        token = ""
        while True:
            request = pb.ListRangesRequest(page_token=token)
            answer = await self._call(partial(_list_ranges, request), deadline_seconds)
            found.extend(answer.ranges)
            token = answer.next_page_token
            if not token:
                return found

    async def shards(self, *, deadline_seconds: float = DEADLINE_SECONDS) -> list[pb.Shard]:
        """The living shards, in the order of their names. Raises RegistryError."""
        request = pb.ListShardsRequest()
        answer = await self._call(lambda stub, seconds: stub.ListShards(request, timeout=seconds), deadline_seconds)
        return list(answer.shards)

    async def drain(self, shard: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> pb.Shard:
        """Begins to move all ranges away from a shard (name or uid). Raises RegistryError."""
        request = pb.DrainRequest(shard=shard)
        answer = await self._call(lambda stub, seconds: stub.Drain(request, timeout=seconds), deadline_seconds)
        shown: pb.Shard = answer.shard
        return shown

    async def undrain(self, shard: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> pb.Shard:
        """Revokes `drain`. Raises RegistryError."""
        request = pb.UndrainRequest(shard=shard)
        answer = await self._call(lambda stub, seconds: stub.Undrain(request, timeout=seconds), deadline_seconds)
        shown: pb.Shard = answer.shard
        return shown

    def watch_ranges(self) -> AsyncIterator[pb.RangesUpdate]:
        """Everything, then every change, for ever; resumes at another replica where one ends. Heartbeats are left out.

        Raises RegistryError on refusals that trying again does not mend.
        """
        return self._watch(
            lambda stub, update: stub.WatchRanges(pb.WatchRangesRequest(known_version=update.version, known_cell=update.cell)),
            pb.RangesUpdate(),
            lambda update: update.full or update.ranges or update.removed,
        )

    def watch_shards(self) -> AsyncIterator[pb.ShardsUpdate]:
        """As `watch_ranges`, for shards."""
        return self._watch(
            lambda stub, update: stub.WatchShards(pb.WatchShardsRequest(known_version=update.version, known_cell=update.cell)),
            pb.ShardsUpdate(),
            lambda update: update.full or update.shards or update.removed,
        )

    async def _call(self, call: Callable[[Any, float], Awaitable[T]], deadline_seconds: float) -> T:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + deadline_seconds
        backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        while True:
            left = deadline - loop.time()
            try:
                async with self._stub() as stub:
                    return await call(stub, max(0.001, min(left, ATTEMPT_SECONDS)))
            except grpc.aio.AioRpcError as error:
                if not _passing(error):
                    raise _translated(error) from error
                self._next()
                if not await backoff.pause(within_seconds=deadline - loop.time()):
                    raise _translated(error) from error

    async def _watch(self, call: Callable[[Any, Any], Any], known: T, holds: Callable[[Any], object]) -> AsyncIterator[T]:
        backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        while True:
            async with self._stub() as stub:
                stream = call(stub, known)
                try:
                    while True:
                        async with asyncio.timeout(SILENCE_SECONDS):
                            update = await stream.read()
                        if update is grpc.aio.EOF:
                            break
                        known = update
                        backoff.reset()
                        if holds(update):
                            yield update
                except grpc.aio.AioRpcError as error:
                    if not _passing(error):
                        raise _translated(error) from error
                except TimeoutError:
                    # The replica is stuck, or the network swallowed the end of the stream: resume elsewhere.
                    pass
                finally:
                    stream.cancel()
            self._next()
            await backoff.pause()

    def _next(self) -> None:
        self._at = (self._at + 1) % len(self._addresses)


def _list_ranges(request: pb.ListRangesRequest, stub: Any, seconds: float) -> Awaitable[pb.ListRangesResponse]:
    answer: Awaitable[pb.ListRangesResponse] = stub.ListRanges(request, timeout=seconds)
    return answer


_PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def _passing(error: grpc.aio.AioRpcError) -> bool:
    """Whether trying again may help: nobody answered, or the answer says when to ask again."""
    return error.code() in _PASSING or _detail(error, error_details_pb2.RetryInfo()) is not None


def _translated(error: grpc.aio.AioRpcError) -> RegistryError:
    info = _detail(error, error_details_pb2.ErrorInfo())
    text = error.details() or str(error.code())
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        text = f"what answers there is no registry, or another version of one ({text})"
    return RegistryError(error.code(), text, info.reason if info is not None else "")


def _detail(error: grpc.aio.AioRpcError, wanted: T) -> T | None:
    """One of google.rpc's details of an error."""
    for key, value in error.trailing_metadata() or ():
        if key == rpc_status.GRPC_DETAILS_METADATA_KEY:
            for detail in status_pb2.Status.FromString(value).details:
                if detail.Unpack(wanted):
                    return wanted
    return None
