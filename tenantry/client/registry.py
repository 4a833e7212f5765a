"""An asynchronous client of the registry: `tenantry.registry.v1.Registry`.

async with RegistryClient(["registry-0:6445", "registry-1:6445"], ca=…, certificate=…, key=…) as registry:
    name, version = await registry.open_range({"region": "eu"}, after_version=17)
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tenantry._proto.tenantry.registry.v1 import registry_pb2 as pb
from tenantry._proto.tenantry.registry.v1 import registry_pb2_grpc as stubs
from tenantry.base.backoff import Backoff
from tenantry.client.channels import Channels, Credentials

DEADLINE_SECONDS = 10.0
ATTEMPT_SECONDS = 3.0
"""How long one replica may take before another one is called."""
FIRST_RETRY_SECONDS = 0.05
LAST_RETRY_SECONDS = 2.0
SILENCE_SECONDS = 30.0
"""A watch without a heartbeat for this time is broken."""

T = TypeVar("T")


class RegistryError(Exception):
    """The registry refused the call, or no replica answered in time.

    `code`: the gRPC status. `reason`: of google.rpc.ErrorInfo; empty if there is none.
    """

    def __init__(self, code: grpc.StatusCode, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.reason = reason


class OpenedRange(NamedTuple):
    """An opened range. `version`: the version of the map that shows it."""

    name: str
    version: int


class RegistryClient:
    """A client of all replicas of the registry. If one does not answer, the next one is called.

    `addresses`: `host:port` of the replicas. `ca`, `certificate`, `key`: PEM. `server_name`: the name in the servers'
    certificates, if it is not the host of the address. All calls are idempotent, so a failed call is repeated until its deadline.
    Raises ValueError without an address.
    """

    def __init__(self, addresses: Sequence[str], *, ca: bytes, certificate: bytes, key: bytes, server_name: str = "") -> None:
        self._ca = ca
        self._channels = Channels(
            addresses,
            Credentials(ca, certificate, key),
            stubs.RegistryStub,
            server_name=server_name,
            first=random.randrange(len(addresses) or 1),
        )

    def __repr__(self) -> str:
        return f"<RegistryClient {', '.join(self._channels.addresses)}>"

    async def __aenter__(self) -> RegistryClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections and ends the calls and watches on them."""
        await self._channels.close()

    async def renew(self, certificate: bytes, key: bytes) -> None:
        """Uses another certificate and key (PEM) for new calls. Calls and watches in progress keep their connections."""
        await self._channels.renew(Credentials(self._ca, certificate, key))

    async def open_range(
        self, labels: Mapping[str, str], after_version: int, *, deadline_seconds: float = DEADLINE_SECONDS
    ) -> OpenedRange:
        """Returns a range with these labels that was opened after a version of the map, or opens one. Raises RegistryError."""
        request = pb.OpenRangeRequest(labels=labels, after_version=after_version)
        answer = await self._call(lambda stub, seconds: stub.OpenRange(request, timeout=seconds), deadline_seconds)
        return OpenedRange(answer.name, answer.version)

    async def ranges(self, *, deadline_seconds: float = DEADLINE_SECONDS) -> list[pb.Range]:
        """All ranges, sorted by interval. Raises RegistryError."""
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
        """The living shards, sorted by name. Raises RegistryError."""
        request = pb.ListShardsRequest()
        answer = await self._call(lambda stub, seconds: stub.ListShards(request, timeout=seconds), deadline_seconds)
        return list(answer.shards)

    async def views(self, *, deadline_seconds: float = DEADLINE_SECONDS) -> list[pb.View]:
        """The views that processes of their own serve, sorted by name, with these processes. Raises RegistryError."""
        request = pb.ListViewsRequest()
        answer = await self._call(lambda stub, seconds: stub.ListViews(request, timeout=seconds), deadline_seconds)
        return list(answer.views)

    async def forget_view(self, name: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        """Gives a view whose processes have crashed back to the shards. Raises RegistryError."""
        request = pb.ForgetViewRequest(name=name)
        await self._call(lambda stub, seconds: stub.ForgetView(request, timeout=seconds), deadline_seconds)

    async def drain(self, shard: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> pb.Shard:
        """Starts to move all ranges away from a shard (name or uid). Raises RegistryError."""
        request = pb.DrainRequest(shard=shard)
        answer = await self._call(lambda stub, seconds: stub.Drain(request, timeout=seconds), deadline_seconds)
        shown: pb.Shard = answer.shard
        return shown

    async def undrain(self, shard: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> pb.Shard:
        """Reverts `drain`. Raises RegistryError."""
        request = pb.UndrainRequest(shard=shard)
        answer = await self._call(lambda stub, seconds: stub.Undrain(request, timeout=seconds), deadline_seconds)
        shown: pb.Shard = answer.shard
        return shown

    def watch_ranges(self) -> AsyncIterator[pb.RangesUpdate]:
        """Yields all ranges, then every change. Resumes at another replica when a stream ends. Heartbeats are not yielded.

        The iteration does not end. Raises RegistryError for errors that a retry does not fix.
        """
        return self._watch(
            lambda stub, update: stub.WatchRanges(pb.WatchRangesRequest(known_version=update.version, known_cell=update.cell)),
            pb.RangesUpdate(),
            lambda update: update.full or update.ranges or update.removed,
        )

    def watch_shards(self) -> AsyncIterator[pb.ShardsUpdate]:
        """Yields all shards, then every change, as `watch_ranges` does."""
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
                async with self._channels.use() as stub:
                    return await call(stub, max(0.001, min(left, ATTEMPT_SECONDS)))
            except grpc.aio.AioRpcError as error:
                if not _passing(error):
                    raise _translated(error) from error
                self._channels.leave(stub)
                if not await backoff.pause(within_seconds=deadline - loop.time()):
                    raise _translated(error) from error

    async def _watch(self, call: Callable[[Any, Any], Any], known: T, holds: Callable[[Any], object]) -> AsyncIterator[T]:
        backoff = Backoff(FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS)
        while True:
            async with self._channels.use() as stub:
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
                    # The replica hangs, or the network lost the end of the stream. Resume at another replica.
                    pass
                finally:
                    stream.cancel()
            self._channels.leave(stub)
            await backoff.pause()


def _list_ranges(request: pb.ListRangesRequest, stub: Any, seconds: float) -> Awaitable[pb.ListRangesResponse]:
    answer: Awaitable[pb.ListRangesResponse] = stub.ListRanges(request, timeout=seconds)
    return answer


_PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def _passing(error: grpc.aio.AioRpcError) -> bool:
    """Whether a retry may help: no replica answered, or the answer has RetryInfo."""
    return error.code() in _PASSING or _detail(error, error_details_pb2.RetryInfo()) is not None


def _translated(error: grpc.aio.AioRpcError) -> RegistryError:
    info = _detail(error, error_details_pb2.ErrorInfo())
    text = error.details() or str(error.code())
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        text = f"the server there is not a registry, or of another version ({text})"
    return RegistryError(error.code(), text, info.reason if info is not None else "")


def _detail(error: grpc.aio.AioRpcError, wanted: T) -> T | None:
    """The detail of google.rpc of the type of `wanted`; None if the error has none."""
    for key, value in error.trailing_metadata() or ():
        if key == rpc_status.GRPC_DETAILS_METADATA_KEY:
            for detail in status_pb2.Status.FromString(value).details:
                if detail.Unpack(wanted):
                    return wanted
    return None
