"""The asynchronous client of the gateways."""

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
from tenantry.base.signal import Signal
from tenantry.client.channels import Channels, Credentials
from tenantry.client.errors import ClientError, Closed, from_failure
from tenantry.client.tenant_map import Gap, Location, Range, Shard, TenantMap, range_from, shard_from, whole

logger = logging.getLogger(__name__)

BATCH_LIMIT = 10_000
_FIRST_RETRY_SECONDS = 0.05
_LAST_RETRY_SECONDS = 5.0
_SILENCE_SECONDS = 10.0
"""Until the first update has said how long a stream may be silent."""


class Client:
    """Resolves tenants to places: ids from a map in memory that it keeps up to date, paths by asking.

        async with Client(["gateway:6444"], Credentials.read("ca.crt", "client.crt", "client.key")) as client:
            location = await client.resolve("root:org:team")
            location = client.locate("2x3k5a7f9c1e4d6b")

    `follow=False`: no map is kept, and everything is asked. To be used on one event loop. `addresses`: of any number of gateways;
    one is in use at a time. `timeout_seconds`: for a call, those to other gateways among it that are made where one is silent.
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
        self._updates = Signal()
        self._from_nothing = False
        self.resyncs = 0
        """How often the map had to be read whole because updates were missing."""

    def __repr__(self) -> str:
        return f"<Client {','.join(self._addresses)} {self._map!r}>"

    async def __aenter__(self) -> Client:
        self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def start(self) -> None:
        """Begins to follow the map; does not wait for it."""
        self._channels = Channels(self._addresses, self._credentials, stubs.GatewayStub)
        if self._follow:
            self._updates = Signal()
            self._follower = asyncio.create_task(self._keep_following(), name="tenant map")

    async def close(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None
        # No update comes any more: who waits for one must learn it.
        self._updates.close(Closed("the client was closed"))
        if self._channels is not None:
            await self._channels.close()
            self._channels = None

    @property
    def map(self) -> TenantMap | None:
        """As it is known now; None before the first answer. Stays usable when no gateway can be reached."""
        return self._map

    def locate(self, cluster: str) -> Location | None:
        """The place of an id from memory, at once; None where no range holds it or no map has come yet.

        It is not asked whether the tenant exists. `shard` is empty while nobody alive owns its range.
        """
        known = self._map
        return known.locate(cluster) if known is not None else None

    async def resolve(self, tenant: str, *, newer_than: int = 0) -> Location:
        """The place of a path or id: of an id from memory where that is possible, else by asking.

        `newer_than`: the generation of an answer that proved wrong; what comes is newer. Raises NotFound, InvalidArgument,
        NoOwner, Unreachable.
        """
        if ":" not in tenant:
            found = self.locate(tenant)
            if found is not None and found.shard and found.generation > newer_than:
                return found
        return await self.ask(tenant, newer_than=newer_than)

    async def ask(self, tenant: str, *, newer_than: int = 0) -> Location:
        """As `resolve`, never from memory: also raises NotFound for an id that is no tenant's."""
        answer = await self._call("Resolve", pb.ResolveRequest(tenant=tenant, newer_than_generation=newer_than))
        return Location(answer.cluster, answer.range, answer.shard, answer.generation, answer.url, answer.shard_url, answer.path)

    async def resolve_many(self, tenants: Sequence[str]) -> list[Location | ClientError]:
        """The place of each, or what is wrong with it, in the same order. Raises Unreachable."""
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
        """All, in the order of their starts, with their tenants counted."""
        return [range_from(message) for message in (await self._call("ListRanges", pb.ListRangesRequest())).ranges]

    async def shards(self) -> list[Shard]:
        """All that live, with what they hold."""
        return [shard_from(message) for message in (await self._call("ListShards", pb.ListShardsRequest())).shards]

    async def urls(self, workspace: str, export: str) -> list[str]:
        """Where an export's objects are served. Raises NotFound."""
        return list((await self._call("ListUrls", pb.ListUrlsRequest(workspace=workspace, export=export))).urls)

    async def ready(self) -> TenantMap:
        """The map, as soon as there is one."""
        while self._map is None:
            await self.changed()
        return self._map

    async def maps(self) -> AsyncIterator[TenantMap]:
        """The map now, and again whenever it has changed; versions between may be left out."""
        seen = await self.ready()
        yield seen
        while True:
            while self._map is None or self._map.version == seen.version:
                await self.changed()
            seen = self._map
            yield seen

    async def _call(self, method: str, request: Any) -> Any:
        return await self._open().call(method, request, timeout_seconds=self._timeout_seconds)

    def _open(self) -> Channels:
        if self._channels is None:
            raise RuntimeError("the client is not started: use it as `async with Client(…) as client`")
        return self._channels

    async def changed(self) -> None:
        """Returns when the next update has come, a heartbeat among them. Raises Closed."""
        if self._follower is None:
            raise RuntimeError("this client follows no map: make it with follow=True, and start it")
        await self._updates.wait()

    async def _keep_following(self) -> None:
        channels = self._open()
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS, jitter=1.0)
        gaps = 0
        while True:
            stub = channels.current
            before = self._map
            try:
                await self._follow_once(stub)
            except Gap:
                # Of a whole map nothing can be missing. A gateway with a gap again is asked after a pause, as a silent one.
                self._from_nothing = True
                self.resyncs += 1
                gaps += 1
                if gaps == 1:
                    continue
            except (grpc.RpcError, TimeoutError) as error:
                code = error.code() if isinstance(error, grpc.RpcError) else "no heartbeat"
                logger.info("the map is followed anew", extra={"address": channels.address, "error": str(code)})
            except Exception:
                # Whatever an update got wrong, a map that nobody follows any more would be wrong without a word.
                logger.exception("an update of the map could not be applied", extra={"address": channels.address})
                self._from_nothing = True
            channels.leave(stub)
            gaps = 0
            # After a stream that brought something the first attempt is made soon, and not by everybody at the same time.
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
        self._updates.send()
