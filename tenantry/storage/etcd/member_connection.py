"""One connection to one member of etcd."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from tenantry._proto.etcd import rpc_pb2 as rpc
from tenantry.storage.etcd.config import Endpoint, EtcdConfig
from tenantry.storage.etcd.credentials import load_credentials
from tenantry.storage.etcd.methods import AUTHENTICATE, STATUS, Method, Request, Response
from tenantry.storage.etcd.server_version import Version, check_version
from tenantry.storage.store import Unavailable

# The client refuses a longer answer. `EtcdStore.read` then asks for fewer keys.
ANSWER_BYTES_LIMIT = 64 << 20
# With this header a member without a leader fails calls and watches at once. Without it they would wait.
_REQUIRE_LEADER = ("hasleader", "true")


class Lost(Exception):
    """The connection closed during a call. The call had been sent."""


class MemberConnection:
    """A connection to one member. Create it with `open`, and call `greet` first. `version`: the version of the server."""

    version: Version

    def __init__(self, endpoint: Endpoint, channel: grpc.aio.Channel) -> None:
        self.endpoint = endpoint
        self._channel = channel
        self._unary: dict[str, Any] = {}

    @classmethod
    async def open(cls, endpoint: Endpoint, config: EtcdConfig) -> MemberConnection:
        """Creates a connection. Raises OSError, Unavailable (both: a PEM file cannot be used)."""
        return cls(endpoint, await _channel(endpoint, config))

    async def greet(self, token: str, timeout_seconds: float) -> None:
        """Makes the first call and checks the version. It does not wait for readiness: only a call tells why a connection fails.

        Raises UnsupportedVersion, Unavailable (the member cannot serve now), grpc.aio.AioRpcError, Lost.
        """
        status = await self.call(STATUS, rpc.StatusRequest(), timeout_seconds, token)
        self.version = check_version(status.version)
        if status.isLearner:
            raise Unavailable("it is a learner, which serves no clients")
        if not status.leader:
            raise Unavailable("it has no leader")

    async def authenticate(self, user: str, password: str, timeout_seconds: float) -> str:
        """Returns a token, empty if etcd does not use authentication. Raises grpc.aio.AioRpcError."""
        try:
            request = rpc.AuthenticateRequest(name=user, password=password)
            return (await self.call(AUTHENTICATE, request, timeout_seconds)).token
        except grpc.aio.AioRpcError as error:
            if "authentication is not enabled" in (error.details() or ""):
                return ""
            raise

    async def call(
        self, method: Method[Request, Response], request: Request, timeout_seconds: float, token: str = ""
    ) -> Response:
        """Makes a unary call. Raises grpc.aio.AioRpcError, Lost."""
        unary = self._unary.get(method.path)
        if unary is None:
            unary = self._unary[method.path] = self._channel.unary_unary(method.path, method.serialize, method.parse)
        try:
            answer: Response = await unary(request, timeout=timeout_seconds, metadata=_metadata(token))
        except asyncio.CancelledError as error:
            raise _lost(error) from None
        return answer

    async def exchange(
        self, method: Method[Request, Response], request: Request, timeout_seconds: float, token: str = ""
    ) -> Response:
        """Sends one request on a new stream and returns the first answer. Raises grpc.aio.AioRpcError, Lost."""
        stream = EtcdStream(self, method, token, timeout_seconds)
        try:
            await stream.write(request)
            answer: Response = await stream.read()
            return answer
        finally:
            stream.cancel()

    def stream(self, method: Method[Request, Response], token: str, timeout_seconds: float | None = None) -> Any:
        """Opens a stream of gRPC. `EtcdStream` wraps it."""
        opened = self._channel.stream_stream(method.path, method.serialize, method.parse)
        return opened(timeout=timeout_seconds, metadata=_metadata(token))

    async def close(self, grace_seconds: float | None = None) -> None:
        """Closes the connection. Calls in progress are cancelled after `grace_seconds` (None: at once)."""
        await self._channel.close(grace_seconds)


class EtcdStream:
    """A bidirectional stream. Its methods raise only AioRpcError and Lost."""

    def __init__(
        self, link: MemberConnection, method: Method[Request, Response], token: str, timeout_seconds: float | None = None
    ) -> None:
        self.link = link
        self.token = token
        self._call = link.stream(method, token, timeout_seconds)

    async def write(self, request: Any) -> None:
        try:
            await self._call.write(request)
        except asyncio.CancelledError as error:
            raise _lost(error) from None
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            # The stream has ended already. `read` raises the reason.
            raise Lost(str(error)) from None

    async def read(self) -> Any:
        try:
            answer = await self._call.read()
        except asyncio.CancelledError as error:
            raise _lost(error) from None
        except (asyncio.InvalidStateError, grpc.aio.UsageError) as error:
            raise Lost(str(error)) from None
        if answer is grpc.aio.EOF:
            raise Lost("etcd ended the stream")
        return answer

    def cancel(self) -> None:
        self._call.cancel()


def _lost(error: asyncio.CancelledError) -> BaseException:
    """The error for a cancelled call. grpc.aio cancels the calls of a closed channel, but then the caller was not cancelled."""
    task = asyncio.current_task()
    return error if task is not None and task.cancelling() else Lost("the connection was closed")


def _metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (_REQUIRE_LEADER, ("token", token)) if token else (_REQUIRE_LEADER,)


async def _channel(endpoint: Endpoint, config: EtcdConfig) -> grpc.aio.Channel:
    options: list[tuple[str, Any]] = [
        ("grpc.max_receive_message_length", ANSWER_BYTES_LIMIT),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", round(config.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", round(config.keepalive_timeout_seconds * 1000)),
        ("grpc.http2.max_pings_without_data", 0),
        # gRPC must not share subchannels: a new connection must not inherit the back-off of one that failed.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
    ]
    if not endpoint.secure:
        return grpc.aio.insecure_channel(endpoint.target, options)
    if config.server_name:
        options.append(("grpc.ssl_target_name_override", config.server_name))
    return grpc.aio.secure_channel(endpoint.target, await asyncio.to_thread(load_credentials, config), options)
