"""The asynchronous client of the gateways: `tenantry.gateway.v1.Gateway`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any

import grpc

from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2_grpc as stubs
from tenantry.base.backoff import Backoff
from tenantry.client.channels import Channels, Credentials
from tenantry.client.errors import ClientError, Closed, Unreachable, from_failure, from_rpc
from tenantry.client.tenant_map import Gap, Location, Range, Shard, TenantMap, range_from, shard_from, whole

logger = logging.getLogger(__name__)

BATCH_LIMIT = 10_000
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 5.0
_SILENCE_SECONDS = 10.0
"""How long a stream may be silent before the first update has told the limit."""
_ATTEMPT_SECONDS = 2.5
"""The minimum time for a gateway to answer before the next one is called. `Resolve` waits up to 2 s for a newer generation."""
_LEAVE = frozenset(
    (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.CANCELLED,
    )
)
"""Statuses after which the next gateway is called."""


class Client:
    """Locates tenants: ids in memory, from a map that it follows; paths by calls to a gateway.

        async with Client(["gateway:6444"], Credentials.read("ca.crt", "client.crt", "client.key")) as client:
            location = await client.resolve("root:org:team")
            location = client.locate("2x3k5a7f9c1e4d6b")

    Use it on one event loop. `addresses`: `host:port` of the gateways; one of them is used at a time. `follow=False`: keep no
    map and ask a gateway for everything. `timeout_seconds`: of a call, including the attempts at other gateways.
    """

    def __init__(
        self, addresses: Sequence[str], credentials: Credentials, *, follow: bool = True, timeout_seconds: float = 5.0
    ) -> None:
        self._addresses = addresses
        self._credentials = credentials
        self._follow = follow
        self._timeout_seconds = timeout_seconds
        self._channels: Channels | None = None
        self._map: TenantMap | None = None
        self._silence_seconds = _SILENCE_SECONDS
        self._follower: asyncio.Task[None] | None = None
        self._update_came: asyncio.Future[None] | None = None
        self._from_nothing = False
        self.resyncs = 0
        """How often the whole map was read because updates were missing."""

    def __repr__(self) -> str:
        return f"<Client {','.join(self._addresses)} {self._map!r}>"

    async def __aenter__(self) -> Client:
        self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def start(self) -> None:
        """Starts to follow the map and does not wait for it. Raises ValueError without an address."""
        self._channels = Channels(self._addresses, self._credentials, stubs.GatewayStub)
        if self._follow:
            self._follower = asyncio.create_task(self._keep_following(), name="tenant map")

    async def close(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None
        if self._update_came is not None and not self._update_came.done():
            # No more updates arrive: end the waiting calls.
            self._update_came.set_exception(Closed("the client was closed"))
            self._update_came.exception()
        self._update_came = None
        if self._channels is not None:
            await self._channels.close()
            self._channels = None

    @property
    def map(self) -> TenantMap | None:
        """The present map; None before the first answer. It stays usable while no gateway is reachable."""
        return self._map

    def locate(self, cluster: str) -> Location | None:
        """The location of an id from memory; None if it is in no range or if there is no map yet.

        It does not check whether the tenant exists. `shard` is empty while no living shard owns the range.
        """
        known = self._map
        return known.locate(cluster) if known is not None else None

    async def resolve(self, tenant: str, *, newer_than: int = 0) -> Location:
        """The location of a path or id: of an id from memory if possible, else from a gateway.

        `newer_than`: the generation of a location that was wrong; the result is newer. Raises NotFound, InvalidArgument, NoOwner,
        Unreachable.
        """
        if ":" not in tenant:
            found = self.locate(tenant)
            if found is not None and found.shard and found.generation > newer_than:
                return found
        return await self.ask(tenant, newer_than=newer_than)

    async def ask(self, tenant: str, *, newer_than: int = 0) -> Location:
        """As `resolve`, but always asks a gateway, so it also raises NotFound for an id that is not a tenant's."""
        answer = await self._call("Resolve", pb.ResolveRequest(tenant=tenant, newer_than_generation=newer_than))
        return Location(answer.cluster, answer.range, answer.shard, answer.generation, answer.url, answer.shard_url, answer.path)

    async def resolve_many(self, tenants: Sequence[str]) -> list[Location | ClientError]:
        """The location of each tenant, or its error, in the order of `tenants`. Raises Unreachable."""
        out: list[Location | ClientError] = []
        for at in range(0, len(tenants), BATCH_LIMIT):
            part = tenants[at : at + BATCH_LIMIT]
            answer = await self._call("BatchResolve", pb.BatchResolveRequest(tenants=part))
            places = [(p.range, p.shard, p.generation, p.url_prefix, p.shard_url) for p in answer.places]
            failed = {failure.index: from_failure(failure.code, failure.message) for failure in answer.failures}
            for index, (cluster, slot) in enumerate(zip(answer.clusters or part, answer.place, strict=True)):
                if index in failed:
                    out.append(failed[index])
                    continue
                name, shard, generation, prefix, shard_url = places[slot]
                out.append(Location(cluster, name, shard, generation, prefix + cluster, shard_url))
        return out

    async def ranges(self) -> list[Range]:
        """All ranges with their numbers of tenants, sorted by `start`. Raises Unreachable."""
        return [range_from(message) for message in (await self._call("ListRanges", pb.ListRangesRequest())).ranges]

    async def shards(self) -> list[Shard]:
        """The living shards with their ranges and numbers of tenants. Raises Unreachable."""
        return [shard_from(message) for message in (await self._call("ListShards", pb.ListShardsRequest())).shards]

    async def urls(self, workspace: str, export: str) -> list[str]:
        """The URLs at which the objects of an export are served. Raises NotFound, InvalidArgument, Unreachable."""
        return list((await self._call("ListUrls", pb.ListUrlsRequest(workspace=workspace, export=export))).urls)

    async def ready(self) -> TenantMap:
        """Waits for the first map and returns it. Raises Closed."""
        while self._map is None:
            await self.changed()
        return self._map

    async def maps(self) -> AsyncIterator[TenantMap]:
        """Yields the present map, and the new one after each change. It may skip versions. Raises Closed."""
        seen = await self.ready()
        yield seen
        while True:
            while self._map is None or self._map.version == seen.version:
                await self.changed()
            seen = self._map
            yield seen

    async def _call(self, method: str, request: Any) -> Any:
        """A unary call. If a gateway does not answer, each other one is called once, until the timeout. Raises ClientError."""
        channels = self._open()
        failed: ClientError | None = None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout_seconds
        for others in reversed(range(len(channels.addresses))):
            left = deadline - loop.time()
            if left <= 0:
                break
            async with channels.use() as stub:
                try:
                    return await getattr(stub, method)(request, timeout=min(left, max(left / (others + 1), _ATTEMPT_SECONDS)))
                except grpc.RpcError as error:
                    failed = from_rpc(error)
                    if failed.reason or error.code() not in _LEAVE:
                        try:
                            raise failed from None
                        finally:
                            del failed
                    channels.leave(stub)
        assert failed is not None
        addresses = ", ".join(channels.addresses)
        raise Unreachable(f"no answer from {addresses}: {failed}", retry_after_seconds=failed.retry_after_seconds)

    def _open(self) -> Channels:
        if self._channels is None:
            raise RuntimeError("the client is not started: use it as `async with Client(…) as client`")
        return self._channels

    async def changed(self) -> None:
        """Waits for the next update, which may be a heartbeat. Raises Closed."""
        if self._follower is None:
            raise RuntimeError("this client follows no map: make it with follow=True and start it")
        if self._update_came is None:
            self._update_came = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._update_came)

    async def _keep_following(self) -> None:
        channels = self._open()
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS, jitter=1.0)
        gaps = 0
        while True:
            before = self._map
            async with channels.use() as stub:
                try:
                    await self._follow_once(stub)
                except Gap:
                    # Ask for the whole map at once. If it has a gap again, pause as after an error.
                    self._from_nothing = True
                    self.resyncs += 1
                    gaps += 1
                    if gaps == 1:
                        continue
                except (grpc.RpcError, TimeoutError) as error:
                    code = error.code() if isinstance(error, grpc.RpcError) else "no heartbeat"
                    logger.info(
                        "lost the stream of the map; following it again", extra={"address": channels.address, "error": str(code)}
                    )
                except Exception:
                    # Without a retry after an unexpected error, the map would silently become stale.
                    logger.exception(
                        "cannot apply an update of the map; reading the whole map", extra={"address": channels.address}
                    )
                    self._from_nothing = True
                channels.leave(stub)
            gaps = 0
            # After a stream with updates, the first retry is soon. The jitter keeps clients from retrying together.
            if self._map is not before:
                backoff.reset()
            await backoff.pause()

    async def _follow_once(self, stub: Any) -> None:
        known = None if self._from_nothing else self._map
        self._from_nothing = False
        request = pb.WatchMapRequest(
            known_version=known.version if known is not None else 0, known_cell=known.cell if known is not None else 0
        )
        call = stub.WatchMap(request)
        try:
            while True:
                async with asyncio.timeout(self._silence_seconds):
                    update = await call.read()
                if update is grpc.aio.EOF:
                    return
                self._apply(update)
        finally:
            call.cancel()

    def _apply(self, update: pb.MapUpdate) -> None:
        if update.full:
            self._map = whole(update)
            self._silence_seconds = update.silence_milliseconds / 1000 or _SILENCE_SECONDS
        elif self._map is None:
            raise Gap("the first update is not a whole map")
        else:
            self._map = self._map.applied(update)
        update_came, self._update_came = self._update_came, None
        if update_came is not None:
            update_came.set_result(None)
