"""The gRPC service `tenantry.gateway.v1.Gateway`: locates tenants."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message

from gateway.map_feed import MapFeed, range_message, shard_message
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2_grpc as stubs
from tenantry.base.signal import Signal
from tenantry.kube.status import StatusError, not_found
from tenantry.placement.map import RangeInfo
from tenantry.placement.paths.cluster_paths import WORKSPACE_RESOURCE
from tenantry.placement.paths.directory import Directory, Location
from tenantry.placement.urls import Urls
from tenantry.rpc import error_details
from tenantry.rpc.error_details import refuse
from tenantry.rpc.server import RpcLimits

SERVICE = "tenantry.gateway.v1.Gateway"
BATCH_LIMIT = 10_000
LIMITS = RpcLimits(streams=10_000)
"""`streams`: followers of the map."""
NEWER_SECONDS = 2.0
"""How long `Resolve` waits for a newer generation. The lag of the map is much shorter."""
RETRY_SECONDS = 0.25
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    503: grpc.StatusCode.UNAVAILABLE,
}
_TENANT = "tenantry.dev/tenant"
_PATHS = "a path is names of lower-case letters, digits and dashes with colons between, like root:org:team"

UrlSource = Callable[[str, str], Sequence[str] | None]
"""(export cluster, export name) → the published URLs; None if the export does not exist."""


class Lookups(stubs.GatewayServicer):
    """The service's methods. They read memory. `tenants`: returns the number of tenants of a range. `feed`: serves WatchMap."""

    def __init__(
        self,
        directory: Directory,
        *,
        urls: Urls,
        urls_of: UrlSource,
        tenants: Callable[[RangeInfo], int],
        feed: MapFeed,
    ) -> None:
        self._directory = directory
        self._urls = urls
        self._urls_of = urls_of
        self._tenants = tenants
        self._feed = feed
        self._shard_urls: dict[str, str] | None = None
        self._places: dict[str, bytes] = {}
        self._changes = Signal()
        directory.range_map.subscribe(self._map_changed)

    async def Resolve(self, request: pb.ResolveRequest, context: Any) -> pb.ResolveResponse:
        tenant, known = request.tenant, request.newer_than_generation
        if not tenant:
            text = "tenant is empty: give a path like root:org:team, or an id"
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text, error_details.bad_field("tenant", text))
        try:
            location = self._locate(tenant)
            if known and location.generation <= known:
                location = await self._newer(tenant, known, context)
        except StatusError as error:
            await refuse(context, _CODES.get(error.code, grpc.StatusCode.INTERNAL), _text(error), *_details(error, tenant))
        if known and location.generation <= known:
            await refuse(
                context,
                grpc.StatusCode.UNAVAILABLE,
                f"this gateway knows no generation of range {location.range} newer than {location.generation}",
                error_details.reason("STALE_GENERATION", {"range": location.range, "generation": str(location.generation)}),
                error_details.retry_after(RETRY_SECONDS),
            )
        return pb.ResolveResponse(
            cluster=location.cluster,
            path=self._directory.path_of(location.cluster) or "",
            range=location.range,
            shard=location.shard,
            url=self._urls.cluster(location.cluster),
            generation=location.generation,
            shard_url=self._shard_url(location.range),
        )

    async def BatchResolve(self, request: pb.BatchResolveRequest, context: Any) -> bytes:
        """Returns an encoded BatchResolveResponse."""
        tenants = request.tenants
        if len(tenants) > BATCH_LIMIT:
            text = f"{len(tenants)} tenants in one call; the limit is {BATCH_LIMIT}"
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text, error_details.bad_field("tenants", text))
        infos = self._directory.range_map.ranges()
        starts = [info.start for info in infos]
        knows = self._directory.knows
        slots: dict[int, int] = {}
        places: list[bytes] = []
        place: list[int] = []
        behind_paths: dict[int, str] = {}
        failures: list[pb.Failure] = []
        for tenant in tenants:
            # The index of the range, inlined from `Directory.range_of`: a call for each tenant would take half of the time.
            at = bisect_right(starts, tenant) - 1
            if not knows(tenant) or at < 0 or tenant >= infos[at].end or not infos[at].shard:
                try:
                    cluster = self._locate(tenant).cluster
                except StatusError as error:
                    code = _CODES.get(error.code, grpc.StatusCode.INTERNAL)
                    failures.append(pb.Failure(index=len(place), code=code.value[0], message=error_details.short(_text(error))))
                    place.append(0)
                    continue
                if cluster != tenant:
                    behind_paths[len(place)] = cluster
                at = bisect_right(starts, cluster) - 1
            slot = slots.get(at)
            if slot is None:
                slot = slots[at] = len(places)
                places.append(self._place(infos[at]))
            place.append(slot)
        clusters = [behind_paths.get(index, tenant) for index, tenant in enumerate(tenants)] if behind_paths else []
        rest = pb.BatchResolveResponse(place=place, clusters=clusters, failures=failures)
        return b"".join((*places, rest.SerializeToString()))

    async def WatchMap(self, request: pb.WatchMapRequest, context: Any) -> AsyncIterator[bytes]:
        async for update in self._feed.follow(request.known_version, request.known_cell):
            yield update
        await refuse(
            context,
            grpc.StatusCode.UNAVAILABLE,
            "this gateway is shutting down; resume at another one",
            error_details.retry_after(0),
        )

    async def ListRanges(self, request: pb.ListRangesRequest, context: Any) -> pb.ListRangesResponse:
        ranges = self._directory.range_map.ranges()
        return pb.ListRangesResponse(ranges=[range_message(info, self._urls, self._tenants(info)) for info in ranges])

    async def ListShards(self, request: pb.ListShardsRequest, context: Any) -> pb.ListShardsResponse:
        by_owner: dict[str, list[RangeInfo]] = {}
        for info in self._directory.range_map.ranges():
            by_owner.setdefault(info.owner or info.shard, []).append(info)
        answer = pb.ListShardsResponse()
        for shard in self._directory.range_map.shards():
            ranges = by_owner.get(shard.uid) or by_owner.get(shard.name) or []
            answer.shards.append(shard_message(shard, [info.name for info in ranges], sum(map(self._tenants, ranges))))
        return answer

    async def ListUrls(self, request: pb.ListUrlsRequest, context: Any) -> pb.ListUrlsResponse:
        try:
            cluster = self._directory.cluster_of(request.workspace)
        except StatusError as error:
            field = error_details.bad_field("workspace", _text(error))
            await refuse(context, _CODES.get(error.code, grpc.StatusCode.INTERNAL), _text(error), field)
        urls = self._urls_of(cluster, request.export) if cluster is not None else None
        if urls is None:
            await refuse(
                context,
                grpc.StatusCode.NOT_FOUND,
                f"no export {request.export!r} in workspace {request.workspace!r}",
                error_details.missing("apis.kcp.io/apiexports", f"{request.workspace}:{request.export}"),
            )
        return pb.ListUrlsResponse(urls=urls)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the methods, as the generated function does. BatchResolve and WatchMap already return encoded messages."""
        handlers = {
            "Resolve": _unary(self.Resolve, pb.ResolveRequest),
            "BatchResolve": grpc.unary_unary_rpc_method_handler(self.BatchResolve, pb.BatchResolveRequest.FromString, None),
            "ListRanges": _unary(self.ListRanges, pb.ListRangesRequest),
            "ListShards": _unary(self.ListShards, pb.ListShardsRequest),
            "ListUrls": _unary(self.ListUrls, pb.ListUrlsRequest),
            "WatchMap": grpc.unary_stream_rpc_method_handler(self.WatchMap, pb.WatchMapRequest.FromString, None),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    def _locate(self, tenant: str) -> Location:
        """The location of a tenant. Raises StatusError, also 404 for an id that is not a tenant's."""
        directory = self._directory
        location = directory.resolve(tenant)
        if location.cluster == tenant and not directory.knows(tenant) and directory.path_of(tenant) is None:
            raise not_found(WORKSPACE_RESOURCE, tenant)
        return location

    async def _newer(self, tenant: str, known: int, context: Any) -> Location:
        """Waits until the generation is above `known`, at most NEWER_SECONDS. Returns the last location in any case."""
        loop = asyncio.get_running_loop()
        remaining = context.time_remaining()
        deadline = loop.time() + min(
            NEWER_SECONDS, max(0.0, remaining - RETRY_SECONDS) if remaining is not None else NEWER_SECONDS
        )
        while True:
            location = self._locate(tenant)
            if location.generation > known or loop.time() >= deadline:
                return location
            await self._changes.wait(deadline - loop.time())

    def _map_changed(self) -> None:
        self._shard_urls = None
        self._places.clear()
        self._changes.send()

    def _shard_url(self, range_name: str) -> str:
        if self._shard_urls is None:
            range_map = self._directory.range_map
            urls = {shard.uid: shard.url for shard in range_map.shards()}
            self._shard_urls = {info.name: urls.get(info.owner, "") for info in range_map.ranges()}
        return self._shard_urls.get(range_name, "")

    def _place(self, info: RangeInfo) -> bytes:
        """An encoded BatchResolveResponse with one place. Concatenated protobuf messages are one: repeated fields merge."""
        encoded = self._places.get(info.name)
        if encoded is None:
            place = pb.Place(
                range=info.name,
                generation=info.generation,
                shard=info.shard,
                url_prefix=self._urls.cluster(""),
                shard_url=self._shard_url(info.name),
            )
            encoded = self._places[info.name] = pb.BatchResolveResponse(places=[place]).SerializeToString()
        return encoded


def _unary(method: Callable[..., Any], request: type[Message]) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        method, request.FromString, response_serializer=lambda message: message.SerializeToString()
    )


def _text(error: StatusError) -> str:
    """The error text. kcp's text for an invalid path, which HTTP clients get, does not say what a valid path is; this adds it."""
    return f"{error.message}; {_PATHS}" if error.code == 400 else error.message


def _details(error: StatusError, tenant: str) -> list[Message]:
    if error.code == 404:
        return [error_details.missing(_TENANT, tenant)]
    if error.code == 503:
        return [error_details.reason("NO_OWNER", {"tenant": tenant}), error_details.retry_after(RETRY_SECONDS)]
    return [error_details.bad_field("tenant", _text(error))]
