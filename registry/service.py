"""The gRPC service `tenantry.registry.v1.Registry`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import grpc

from registry.intervals import DIGITS, Exhausted
from registry.openings import CannotOpen
from registry.wiring import AmbiguousShard, Registry, ServedView, UnknownShard, UnknownView
from tenantry._proto.tenantry.registry.v1 import registry_pb2 as pb
from tenantry._proto.tenantry.registry.v1 import registry_pb2_grpc as stubs
from tenantry.kube.names import label_value_errors, qualified_name_errors
from tenantry.placement.map import RangeInfo, ShardInfo
from tenantry.placement.map_rows import RangeLoad
from tenantry.rpc.error_details import bad_field, missing, over_quota, reason, refuse, retry_after
from tenantry.rpc.server import RpcLimits
from tenantry.storage.store import StoreError

SERVICE = "tenantry.registry.v1.Registry"
DEADLINE_SECONDS = 10.0
HEARTBEAT_SECONDS = 10.0
PAGE_RANGES_MAX = 1000
LABELS_MAX = 64
TOKEN_CHARACTERS = set(DIGITS)
"""The characters of a page token, which is the first id of the last range of a page."""
LIMITS = RpcLimits(streams=512)
"""Streams are watches of ranges and shards."""
RETRY_SECONDS = 1.0

T = TypeVar("T")


class RegistryService(stubs.RegistryServicer):
    """The service's methods.

    `cell`: the number of the store. `may_change(name)`: whether a caller whose certificate has this common name may call
    OpenRange, Drain, Undrain and ForgetView. Every caller with a certificate of the CA may call the other methods.
    `heartbeat_seconds`: interval of the heartbeats of a watch.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        cell: int,
        may_change: Callable[[str], bool],
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._registry = registry
        self._cell = cell
        self._may_change = may_change
        self._heartbeat_seconds = heartbeat_seconds

    def add_to(self, server: grpc.aio.Server) -> None:
        stubs.add_RegistryServicer_to_server(self, server)  # type: ignore[no-untyped-call]

    async def ListRanges(self, request: pb.ListRangesRequest, context: Any) -> pb.ListRangesResponse:
        size = request.page_size or PAGE_RANGES_MAX
        if size > PAGE_RANGES_MAX:
            text = f"page_size is at most {PAGE_RANGES_MAX}, not {size}"
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text, bad_field("page_size", text))
        if not set(request.page_token) <= TOKEN_CHARACTERS:
            text = "page_token is not one that was given out; begin with an empty one"
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text, bad_field("page_token", text))
        range_map = self._registry.map
        found = [info for info in range_map.ranges() if info.start > request.page_token or not request.page_token]
        page = found[:size]
        token = page[-1].start if len(found) > size else ""
        return pb.ListRangesResponse(ranges=map(self._range, page), next_page_token=token, version=range_map.version)

    async def ListShards(self, request: pb.ListShardsRequest, context: Any) -> pb.ListShardsResponse:
        leader = await self._bounded(context, self._registry.election.leader())
        range_map = self._registry.map
        return pb.ListShardsResponse(shards=self._shards(range_map.shards()), version=range_map.version, leader=leader)

    async def WatchRanges(self, request: pb.WatchRangesRequest, context: Any) -> AsyncIterator[pb.RangesUpdate]:
        async for update in self._watch(request, self._ranges_update):
            yield update

    async def WatchShards(self, request: pb.WatchShardsRequest, context: Any) -> AsyncIterator[pb.ShardsUpdate]:
        async for update in self._watch(request, self._shards_update):
            yield update

    async def OpenRange(self, request: pb.OpenRangeRequest, context: Any) -> pb.OpenRangeResponse:
        await self._check_caller(context)
        await _check_labels(context, request.labels)
        opened = await self._bounded(context, self._registry.open_range(dict(request.labels), request.after_version))
        return pb.OpenRangeResponse(name=opened.name, version=opened.version)

    async def Drain(self, request: pb.DrainRequest, context: Any) -> pb.DrainResponse:
        info = await self._change_shard(context, request.shard, self._registry.drain)
        return pb.DrainResponse(shard=self._shards([info])[0])

    async def Undrain(self, request: pb.UndrainRequest, context: Any) -> pb.UndrainResponse:
        info = await self._change_shard(context, request.shard, self._registry.undrain)
        return pb.UndrainResponse(shard=self._shards([info])[0])

    async def ListViews(self, request: pb.ListViewsRequest, context: Any) -> pb.ListViewsResponse:
        views = self._registry.views
        found = [
            pb.View(
                name=name,
                processes=[
                    pb.ViewProcess(
                        name=each.name, uid=each.uid, url=each.url, version=each.version, state=each.state, unready=each.why
                    )
                    for each in views.serving(name)
                ],
            )
            for name in sorted(views.names)
        ]
        return pb.ListViewsResponse(views=found)

    async def ForgetView(self, request: pb.ForgetViewRequest, context: Any) -> pb.ForgetViewResponse:
        await self._check_caller(context)
        try:
            await self._bounded(context, self._registry.forget_view(request.name))
        except UnknownView as error:
            await refuse(context, grpc.StatusCode.NOT_FOUND, str(error), missing("View", request.name))
        except ServedView as error:
            await refuse(
                context, grpc.StatusCode.FAILED_PRECONDITION, str(error), reason("VIEW_IS_SERVED", {"view": request.name})
            )
        return pb.ForgetViewResponse()

    async def _change_shard(self, context: Any, shard: str, change: Callable[[str], Awaitable[ShardInfo]]) -> ShardInfo:
        await self._check_caller(context)
        if not shard:
            text = "shard is empty: give a name or uid"
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text, bad_field("shard", text))
        try:
            return await self._bounded(context, change(shard))
        except UnknownShard as error:
            await refuse(context, grpc.StatusCode.NOT_FOUND, str(error), missing("Shard", shard))
        except AmbiguousShard as error:
            await refuse(context, grpc.StatusCode.FAILED_PRECONDITION, str(error), reason("AMBIGUOUS_NAME", {"shard": shard}))

    async def _check_caller(self, context: Any) -> None:
        names = [name.decode() for name in context.auth_context().get("x509_common_name", ())]
        if not any(map(self._may_change, names)):
            text = f"the certificate of {', '.join(names) or 'an unnamed client'} does not permit changes"
            await refuse(context, grpc.StatusCode.PERMISSION_DENIED, text, reason("NOT_PERMITTED"))

    async def _bounded(self, context: Any, work: Awaitable[T]) -> T:
        """Awaits `work` until the call's deadline, at most DEADLINE_SECONDS. Turns errors into gRPC statuses."""
        remaining = context.time_remaining()
        try:
            async with asyncio.timeout(DEADLINE_SECONDS if remaining is None else min(remaining, DEADLINE_SECONDS)):
                return await work
        except TimeoutError:
            text = "deadline exceeded; the change may still happen, and the call may be repeated"
            await refuse(context, grpc.StatusCode.DEADLINE_EXCEEDED, text)
        except CannotOpen as error:
            details = reason("NO_SHARD"), retry_after(RETRY_SECONDS)
            await refuse(context, grpc.StatusCode.UNAVAILABLE, str(error), *details)
        except Exhausted as error:
            await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error), over_quota("ranges", str(error)))
        except StoreError as error:
            details = reason("STORE_UNAVAILABLE"), retry_after(RETRY_SECONDS)
            await refuse(context, grpc.StatusCode.UNAVAILABLE, str(error), *details)

    async def _watch(self, request: Any, update: Callable[[int, bool], T | None]) -> AsyncIterator[T]:
        """Yields a watch's updates. `update(after, heartbeat)`: the message with the changes since a version; None: nothing."""
        known = request.known_version if request.known_cell == self._cell else 0
        range_map = self._registry.map
        while True:
            try:
                async with asyncio.timeout(self._heartbeat_seconds):
                    delta = await range_map.changes(known)
            except TimeoutError:
                heartbeat = update(max(known, 0), True)
                known = range_map.version
                if heartbeat is not None:
                    yield heartbeat
                continue
            # No await between the delta and its message, so both have the same version.
            message = update(known, False)
            known = delta.version
            if message is not None:
                yield message

    def _ranges_update(self, after: int, heartbeat: bool) -> pb.RangesUpdate | None:
        delta = self._registry.map.since(after)
        if not (delta.full or delta.ranges or delta.removed_ranges or heartbeat):
            return None
        return pb.RangesUpdate(
            full=delta.full,
            version=delta.version,
            cell=self._cell,
            ranges=map(self._range, delta.ranges),
            removed=delta.removed_ranges,
        )

    def _shards_update(self, after: int, heartbeat: bool) -> pb.ShardsUpdate | None:
        delta = self._registry.map.since(after)
        # A move changes the numbers of two shards. The former owner is not known any more, so all shards are sent.
        shards = self._registry.map.shards() if delta.ranges else delta.shards
        if not (delta.full or shards or delta.removed_shards or heartbeat):
            return None
        return pb.ShardsUpdate(
            full=delta.full, version=delta.version, cell=self._cell, shards=self._shards(shards), removed=delta.removed_shards
        )

    def _range(self, info: RangeInfo) -> pb.Range:
        owner = self._registry.map.shard(info.owner)
        return pb.Range(
            name=info.name,
            start=info.start,
            end=info.end,
            owner=info.owner,
            shard=info.shard,
            shard_url=owner.url if owner is not None else "",
            generation=info.generation,
            target=info.target,
            capacity=info.capacity,
            labels=dict(info.labels),
            load=_load([self._registry.loads.of(info.name)]),
        )

    def _shards(self, shards: Iterable[ShardInfo]) -> list[pb.Shard]:
        by_owner: dict[str, list[RangeLoad]] = {}
        for info in self._registry.map.ranges():
            by_owner.setdefault(info.owner, []).append(self._registry.loads.of(info.name))
        return [
            pb.Shard(
                name=shard.name,
                uid=shard.uid,
                url=shard.url,
                draining=shard.draining,
                ranges=len(by_owner.get(shard.uid, ())),
                load=_load(by_owner.get(shard.uid, ())),
            )
            for shard in shards
        ]


def _load(loads: Iterable[RangeLoad]) -> pb.Load:
    loads = list(loads)
    return pb.Load(
        tenants=sum(load.tenants for load in loads),
        objects=sum(load.objects for load in loads),
        requests_per_second=sum(load.requests for load in loads),
    )


async def _check_labels(context: Any, labels: Mapping[str, str]) -> None:
    if len(labels) > LABELS_MAX:
        text = f"a range has at most {LABELS_MAX} labels, not {len(labels)}"
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text, bad_field("labels", text))
    for key, value in labels.items():
        if errors := [*qualified_name_errors(key), *label_value_errors(value)]:
            text = f"label {key!r}={value!r}: {errors[0]}"
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, text, bad_field(f"labels[{key}]", errors[0]))
