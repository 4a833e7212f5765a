"""A client of an etcd cluster. It uses one member at a time and switches to another one when that fails.

It renews tokens, and every call has a deadline.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import grpc

from tenantry.base.backoff import Backoff
from tenantry.base.tasks import awaited, restarting
from tenantry.storage.etcd.call_errors import CallOutcome, NotPermitted, describe, judge
from tenantry.storage.etcd.config import Endpoint, EtcdConfig, parse_endpoint
from tenantry.storage.etcd.credentials import explain
from tenantry.storage.etcd.member_connection import EtcdStream, Lost, MemberConnection
from tenantry.storage.etcd.methods import Method, Request, Response
from tenantry.storage.etcd.server_version import UnsupportedVersion
from tenantry.storage.store import Indeterminate, Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")


class CallRefused(Exception):
    """etcd refused a call, which had no effect. `error`: the error of gRPC."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        super().__init__(describe(error))
        self.error = error


class Unauthenticated(Unavailable):
    """etcd asks for credentials, and there are none or they are wrong."""


LASTING = UnsupportedVersion | Unauthenticated | NotPermitted
"""Errors that a retry does not fix, if every endpoint gives one of them."""


class EtcdClient:
    """A client of an etcd cluster. It connects with the first call, and belongs to one event loop."""

    def __init__(self, config: EtcdConfig) -> None:
        self.config = config
        self._endpoints = [parse_endpoint(url) for url in config.endpoints]
        self._at = 0
        self._link: MemberConnection | None = None
        self._connecting: asyncio.Task[MemberConnection] | None = None
        self._token = ""
        self._renewing = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self._troubles: dict[str, str] = {}
        self._closed = False

    async def call(self, method: Method[Request, Response], request: Request, *, changes: bool = False) -> Response:
        """Makes a unary call, with retries within `deadline_seconds`.

        `changes`: the call changes something, so it is not sent again if the first attempt may have succeeded. Raises
        CallRefused, Unavailable, Indeterminate (only with `changes`).
        """
        return await self._attempt(lambda link, seconds: link.call(method, request, seconds, self._token), changes)

    async def exchange(self, method: Method[Request, Response], request: Request) -> Response:
        """Sends one request to a streaming method and returns the first answer. Raises CallRefused, Unavailable."""
        return await self._attempt(lambda link, seconds: link.exchange(method, request, seconds, self._token), False)

    async def stream(self, method: Method[Request, Response]) -> EtcdStream:
        """Opens a stream. etcd has not confirmed it yet. Raises Unavailable."""
        return EtcdStream(await self.link(self._deadline()), method, self._token)

    async def link(self, deadline: float) -> MemberConnection:
        """Returns an open connection. `deadline`: by the loop's clock; after it Unavailable is raised."""
        if self._closed:
            raise Unavailable("the store is closed")
        if self._link is not None:
            return self._link
        if self._connecting is None or self._connecting.done():
            self._connecting = awaited(self._connect(), name="etcd-connect")
            self._connecting.add_done_callback(_seen)
        try:
            async with asyncio.timeout_at(deadline):
                # Other calls wait for it too, so it must not be cancelled with this one.
                return await asyncio.shield(self._connecting)
        except TimeoutError:
            troubles = "; ".join(f"{target}: {why}" for target, why in self._troubles.items())
            raise Unavailable(f"no etcd endpoint answers: {troubles or 'none has yet'}") from None
        except asyncio.CancelledError:
            if self._closed and self._connecting.cancelled():
                raise Unavailable("the store is closed") from None
            raise

    def leave(self, link: MemberConnection, why: str) -> None:
        """Switches to another endpoint. Calls in progress on this connection may still succeed."""
        self._troubles[link.endpoint.target] = why
        if self._link is not link:
            return
        logger.warning("switching etcd endpoint", extra={"endpoint": link.endpoint.target, "reason": why})
        self._link = None
        self._at += 1
        task = restarting(partial(link.close, self.config.deadline_seconds), name="etcd-retire", ends=True)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def renew(self, link: MemberConnection, token: str) -> None:
        """Replaces a token that was refused. Raises Unauthenticated."""
        if not self.config.user:
            raise Unauthenticated("etcd asks for a user and a password, and none is set")
        async with self._renewing:
            if self._token != token:
                return
            try:
                self._token = await link.authenticate(self.config.user, self.config.password, self.config.dial_seconds)
            except grpc.aio.AioRpcError as error:
                if judge(error) is CallOutcome.FINAL:
                    raise Unauthenticated(f"etcd refuses the user {self.config.user}: {describe(error)}") from None
                self.leave(link, describe(error))
            except Lost as error:
                self.leave(link, str(error))

    @property
    def closed(self) -> bool:
        return self._closed

    def backoff(self) -> Backoff:
        return Backoff(self.config.first_retry_seconds, self.config.last_retry_seconds)

    async def close(self) -> None:
        """Closes the connections, which ends every call."""
        if self._closed:
            return
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._link is not None:
            await self._link.close()
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self.config.deadline_seconds

    async def _attempt(self, send: Callable[[MemberConnection, float], Awaitable[T]], changes: bool) -> T:
        loop = asyncio.get_running_loop()
        deadline = self._deadline()
        backoff = self.backoff()
        # A call that may be sent twice leaves time to ask another member.
        share = 1.0 if changes or len(self._endpoints) == 1 else 0.5
        most = self.config.commit_seconds if changes else self.config.deadline_seconds
        while True:
            link = await self.link(deadline)
            token = self._token
            try:
                return await send(link, min(most, max(0.001, (deadline - loop.time()) * share)))
            except grpc.aio.AioRpcError as error:
                verdict, why = judge(error), describe(error)
                if verdict is CallOutcome.FINAL:
                    raise CallRefused(error) from None
            except Lost as error:
                verdict, why = CallOutcome.UNKNOWN, str(error)
            if verdict is CallOutcome.RENEW:
                await self.renew(link, token)
            elif verdict is not CallOutcome.BUSY:
                self.leave(link, why)
            if verdict is CallOutcome.UNKNOWN and changes:
                raise Indeterminate(f"etcd did not answer: {why}")
            if self._closed:
                raise Unavailable("the store is closed")
            if loop.time() + backoff.seconds >= deadline:
                raise Unavailable(f"etcd did not answer: {why}")
            await backoff.pause()

    async def _connect(self) -> MemberConnection:
        backoff = self.backoff()
        while True:
            refused: list[Unavailable] = []
            for _ in self._endpoints:
                endpoint = self._endpoints[self._at % len(self._endpoints)]
                try:
                    return await self._open(endpoint)
                except Unavailable as error:
                    refused.append(error)
                    self._troubles[endpoint.target] = str(error)
                except grpc.aio.AioRpcError as error:
                    self._troubles[endpoint.target] = explain(describe(error), endpoint, self.config)
                except (Lost, OSError) as error:
                    self._troubles[endpoint.target] = str(error)
                self._at += 1
            if sum(isinstance(error, LASTING) for error in refused) == len(self._endpoints):
                lasting = refused[0]
                try:
                    raise lasting
                finally:
                    del lasting, refused
            await backoff.pause()

    async def _open(self, endpoint: Endpoint) -> MemberConnection:
        link = await MemberConnection.open(endpoint, self.config)
        token = self._token
        try:
            try:
                await link.greet(token, self.config.dial_seconds)
            except grpc.aio.AioRpcError as error:
                # etcd 3.6 and later tells even its version only to a client with a token and the role root.
                if judge(error) is not CallOutcome.RENEW:
                    raise
                await self.renew(link, token)
                await link.greet(self._token, self.config.dial_seconds)
            if self.config.user and not self._token:
                await self.renew(link, "")
        except grpc.aio.AioRpcError as error:
            await link.close()
            if error.code() is grpc.StatusCode.PERMISSION_DENIED:
                raise NotPermitted(error.details() or "") from None
            raise
        except BaseException:
            await link.close()
            raise
        self._link = link
        self._troubles.clear()
        return link


def _seen(task: asyncio.Task[MemberConnection]) -> None:
    # Marks the error as retrieved: callers get it through `shield`, and asyncio would log it if no caller waits any more.
    if not task.cancelled():
        task.exception()
