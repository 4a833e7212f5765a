"""A gRPC server: mutual TLS, limits, and beside the services themselves health and reflection."""

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
"""The server takes this many times the calls and streams that there may be, so that it can answer those above with a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RpcLimits:
    """What one gRPC server takes at the same time."""

    calls: int = 1024
    """Calls with one answer at the same time; more are refused with RESOURCE_EXHAUSTED."""

    streams: int = 1024
    """Streams at the same time: followers of a map, health watches. More are refused with RESOURCE_EXHAUSTED."""

    largest_share: float = LARGEST_SHARE
    """What part of both one client can have (`Shares`). Half: whoever comes next finds as much again."""

    message_bytes: int = MESSAGE_LIMIT_BYTES
    """The longest message taken. The biggest legal ones, batches of 10,000 paths, stay far below."""

    keepalive_seconds: float = 20.0
    """How often a quiet connection is probed: a client that vanished is noticed, and proxies between keep the connection."""


class ShownCertificate:
    """The certificate that a server shows to those who connect. gRPC asks for it from threads of its own."""

    def __init__(self, ca: bytes, certificate: bytes, key: bytes) -> None:
        self._ca = ca
        self._newer: deque[grpc.ServerCertificateConfiguration] = deque(maxlen=1)
        self.credentials = grpc.dynamic_ssl_server_credentials(self._configuration(certificate, key), self._fetch, True)

    def renew(self, certificate: bytes, key: bytes) -> None:
        """Shows another one on new connections; both PEM. Open connections and their calls go on."""
        self._newer.append(self._configuration(certificate, key))

    def _configuration(self, certificate: bytes, key: bytes) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=self._ca)

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Called at every handshake; None: nothing has changed."""
        with suppress(IndexError):
            return self._newer.pop()
        return None


@dataclass(frozen=True, slots=True)
class RpcServer:
    """A running server. `health` answers grpc.health.v1 checks; `shares` are its limits, for the metrics."""

    server: grpc.aio.Server
    port: int
    health: health.aio.HealthServicer
    services: tuple[str, ...]
    shown: ShownCertificate
    shares: tuple[Shares, ...]

    def renew(self, pair: Pair) -> None:
        """Shows another certificate to those who connect from now on."""
        self.shown.renew(pair.certificate, pair.key)

    async def stop(self, grace_seconds: float) -> None:
        """Answers health checks with NOT_SERVING, takes no more calls, and gives those under way their time."""
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
    """Serves on `address` (port 0: a free one) to clients with a certificate of `ca`; all three are PEM.

    `add`: by the full name of each service, what adds it to the server. Raises OSError where the address is taken.
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
            # A window that fits the biggest questions, instead of probing for one: the probes are a tenth of a small call's time.
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
