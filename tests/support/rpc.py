"""gRPC between a test and a server of ours: certificates for both, channels, and what a refusal carries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from tenantry.client import Credentials
from tenantry.http.certificates import CertificateAuthority
from tenantry.rpc.server import RpcLimits, RpcServer, serve

_DETAILS = (
    error_details_pb2.ErrorInfo,
    error_details_pb2.RetryInfo,
    error_details_pb2.ResourceInfo,
    error_details_pb2.BadRequest,
    error_details_pb2.QuotaFailure,
)


@dataclass(frozen=True)
class RpcOnSocket:
    """A gRPC server on a port of its own, and the authority for the certificates of its callers."""

    server: RpcServer
    authority: CertificateAuthority

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def credentials(self, name: str = "tenantry-test") -> Credentials:
        """A new certificate: whoever uses it is a client of its own."""
        pair = self.authority.issue_client(name)
        return Credentials(self.authority.certificate, pair.certificate, pair.key)

    def channel(self, name: str = "tenantry-test") -> grpc.aio.Channel:
        """To be used in `async with`."""
        who = self.credentials(name)
        return grpc.aio.secure_channel(self.address, grpc.ssl_channel_credentials(who.ca, who.key, who.certificate))


@asynccontextmanager
async def rpc_on_socket(
    add: Mapping[str, Callable[[grpc.aio.Server], None]],
    *,
    authority: CertificateAuthority | None = None,
    limits: RpcLimits | None = None,
) -> AsyncIterator[RpcOnSocket]:
    """`add`: by the full name of each service, what adds it to the server."""
    authority = authority or CertificateAuthority.create()
    serving = authority.issue_serving(["localhost", "127.0.0.1"])
    server = await serve(
        add, "127.0.0.1:0", ca=authority.certificate, certificate=serving.certificate, key=serving.key, limits=limits
    )
    try:
        yield RpcOnSocket(server, authority)
    finally:
        await server.stop(0)


def details(error: Any) -> dict[str, Any]:
    """google.rpc's details of an error, by the names of their types."""
    found = {}
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    for kind in _DETAILS:
        for packed in status.details:
            message = kind()
            if packed.Unpack(message):
                found[kind.__name__] = message
    return found
