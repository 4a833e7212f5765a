"""The gRPC service `tenantry.gateway.v1.Gateway`: where tenants are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import grpc

from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2_grpc as stubs
from tenantry.kube.status import StatusError
from tenantry.tenancy.directory import Directory, RangeInfo

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    503: grpc.StatusCode.UNAVAILABLE,
}
MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024

UrlSource = Callable[[str, str], Sequence[str] | None]
"""(export cluster, export name) → the published URLs; None where there is no such export."""


class Lookups(stubs.GatewayServicer):
    """Answers from memory: nothing here waits."""

    def __init__(
        self, directory: Directory, *, urls_of: UrlSource, tenants: Callable[[RangeInfo], int], cluster_url: Callable[[str], str]
    ) -> None:
        self._directory = directory
        self._urls_of = urls_of
        self._tenants = tenants
        self._cluster_url = cluster_url

    async def Resolve(self, request: pb.ResolveRequest, context: Any) -> pb.ResolveResponse:
        if not request.tenant:
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "tenant is empty: give a path like root:org:team, or an id")
        try:
            location = self._directory.resolve(request.tenant)
        except StatusError as error:
            await _refuse(context, _CODES.get(error.code, grpc.StatusCode.INTERNAL), error.message)
        path = self._directory.path_of(location.cluster)
        if path is None:
            await _refuse(context, grpc.StatusCode.NOT_FOUND, f"no tenant has the id {request.tenant}")
        return pb.ResolveResponse(
            cluster=location.cluster,
            path=path,
            range=location.range,
            shard=location.shard,
            url=self._cluster_url(location.cluster),
            generation=location.generation,
        )

    async def ListRanges(self, request: pb.ListRangesRequest, context: Any) -> pb.ListRangesResponse:
        return pb.ListRangesResponse(ranges=[self._range(info) for info in self._directory.registry.ranges()])

    async def ListShards(self, request: pb.ListShardsRequest, context: Any) -> pb.ListShardsResponse:
        ranges = self._directory.registry.ranges()
        answer = pb.ListShardsResponse()
        for shard in self._directory.registry.shards():
            held = [info for info in ranges if info.shard == shard.name]
            answer.shards.add(
                name=shard.name, uid=shard.uid, ranges=[info.name for info in held], tenants=sum(map(self._tenants, held))
            )
        return answer

    async def ListUrls(self, request: pb.ListUrlsRequest, context: Any) -> pb.ListUrlsResponse:
        try:
            cluster = self._directory.cluster_of(request.workspace)
        except StatusError as error:
            await _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, error.message)
        urls = self._urls_of(cluster, request.export) if cluster is not None else None
        if urls is None:
            await _refuse(context, grpc.StatusCode.NOT_FOUND, f"no export {request.export!r} in workspace {request.workspace!r}")
        return pb.ListUrlsResponse(urls=urls)

    def _range(self, info: RangeInfo) -> pb.Range:
        return pb.Range(
            name=info.name,
            start=info.start,
            end=info.end,
            shard=info.shard,
            generation=info.generation,
            tenants=self._tenants(info),
            capacity=info.capacity,
            url=self._directory.range_url(info.name),
            labels=dict(info.labels),
        )


async def _refuse(context: Any, code: grpc.StatusCode, text: str) -> NoReturn:
    await context.abort(code, text)
    raise AssertionError("abort does not return")


async def serve(service: Lookups, address: str, *, ca: bytes, certificate: bytes, key: bytes) -> tuple[grpc.aio.Server, int]:
    """Serve on `address` (port 0: a free one) to clients with a certificate of `ca`; all three are PEM. Returns server and port.

    Raises OSError where the address is taken.
    """
    server = grpc.aio.server(
        options=[("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES), ("grpc.so_reuseport", 0)],
        maximum_concurrent_rpcs=1024,
    )
    stubs.add_GatewayServicer_to_server(service, server)  # type: ignore[no-untyped-call]
    credentials = grpc.ssl_server_credentials([(key, certificate)], root_certificates=ca, require_client_auth=True)
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(f"the look-up service cannot listen on {address}: {error}; choose another --gateway-port") from error
    await server.start()
    return server, port
