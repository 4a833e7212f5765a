"""A gRPC server with mutual TLS and limits. Besides its services it serves health checks and reflection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tenantry.base.shares import LARGEST_SHARE, Shares
from tenantry.http.certificates import Pair
from tenantry.http.renewal import Certificate
from tenantry.rpc.call_shares import CallShares
from tenantry.rpc.internal_errors import InternalErrors

MESSAGE_LIMIT_BYTES = 16 * 1024 * 1024
FLOW_WINDOW_BYTES = 1024 * 1024
_BEING_REFUSED = 2
"""gRPC's own limit is this many times the limit of calls and streams, so that the server can answer the excess with an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcLimits:
    """The limits of one gRPC server."""

    calls: int = 1024
    """Calls with one answer at the same time; more are refused with RESOURCE_EXHAUSTED."""

    streams: int = 1024
    """Streams at the same time: followers of a map, health watches. More are refused with RESOURCE_EXHAUSTED."""

    largest_share: float = LARGEST_SHARE
    """The largest share of both that one client can have (`Shares`). Half, so that the same amount is left for the next
    client."""

    message_bytes: int = MESSAGE_LIMIT_BYTES
    """The longest message that is accepted. The largest valid ones, batches of 10,000 paths, are far smaller."""

    keepalive_seconds: float = 20.0
    """How often a quiet connection is probed. This detects clients that vanished, and keeps proxies from closing the
    connection."""


class ShownCertificate:
    """The certificate of a server. gRPC reads it from its own threads."""

    def __init__(self, ca: bytes, certificate: bytes, key: bytes) -> None:
        self._ca = ca
        self._newer: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)
        self.credentials = grpc.dynamic_ssl_server_credentials(self._configuration(certificate, key), self._fetch, True)

    def renew(self, certificate: bytes, key: bytes) -> None:
        """Uses another certificate for new connections. Both arguments are PEM. Open connections and their calls are not
        affected."""
        self._newer.append(self._configuration(certificate, key))

    def _configuration(self, certificate: bytes, key: bytes) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=self._ca)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """gRPC calls it at every handshake. None: the certificate has not changed."""
        with suppress(IndexError):
            return self._newer.pop()
        return None


@dataclass(frozen=True, slots=True)
class RpcServer:
    """A running server. `health`: answers grpc.health.v1 checks. `shares`: its limits, for the metrics."""

    server: grpc.aio.Server
    port: int
    health: health.aio.HealthServicer
    services: tuple[str, ...]
    shown: ShownCertificate
    shares: tuple[Shares, ...]

    def renew(self, pair: Pair) -> None:
        """Uses another certificate for new connections."""
        self.shown.renew(pair.certificate, pair.key)

    async def stop(self, grace_seconds: float) -> None:
        """Answers health checks with NOT_SERVING, accepts no more calls, and waits `grace_seconds` for calls in progress."""
        await self.health.enter_graceful_shutdown()
        await self.server.stop(grace_seconds)


async def serve(
    add: Mapping[str, Callable[[grpc.aio.Server], None]],
    address: str,
    *,
    ca: bytes,
    certificate: bytes,
    key: bytes,
    limits: RpcLimits | None = None,
) -> RpcServer:
    """Serves clients that have a certificate of `ca`. `address`: `host:port`; port 0 is a free one. Certificates and key are PEM.

    `add`: for the full name of each service, a function that adds it to the server. Raises OSError if the address is in use.
    """
    limits = limits or RpcLimits()
    calls = Shares("grpc_calls", limits.calls, largest=limits.largest_share)
    streams = Shares("grpc_streams", limits.streams, largest=limits.largest_share)
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", limits.message_bytes),
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_time_ms", int(limits.keepalive_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # A window for the largest requests instead of probing for one. The probes would take a tenth of the time of a small
            # call.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", FLOW_WINDOW_BYTES),
        ],
        interceptors=(CallShares(calls, streams), InternalErrors()),
        maximum_concurrent_rpcs=_BEING_REFUSED * (limits.calls + limits.streams),
    )
    for adding in add.values():
        adding(server)
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    services = (*add, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(services, server)
    for name in ("", *add):
        await checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    shown = ShownCertificate(ca, certificate, key)
    try:
        port = server.add_secure_port(address, shown.credentials)
    except RuntimeError as error:
        raise OSError(f"cannot listen for gRPC on {address}: {error}; choose another port") from error
    await server.start()
    return RpcServer(server, port, checks, services, shown, (calls, streams))


async def serve_renewed(
    add: Mapping[str, Callable[[grpc.aio.Server], None]],
    address: str,
    *,
    ca: bytes,
    serving: Certificate,
    limits: RpcLimits | None = None,
) -> RpcServer:
    """As `serve`, with a certificate that is renewed while the server runs."""
    first = serving.pair
    server = await serve(add, address, ca=ca, certificate=first.certificate, key=first.key, limits=limits)
    serving.follow(server.renew)
    if serving.pair is not first:
        # It was renewed while the server started.
        server.renew(serving.pair)
    return server
