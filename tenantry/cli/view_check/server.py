"""A whole platform in memory, with requests as any user. Tests of packages use it too."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Self

import orjson

from gateway.local_proxy import LocalProxy
from shard.options import ShardOptions
from shard.wiring import Shard
from tenantry.apiserver.authentication.identity import Identity
from tenantry.apiserver.authentication.service_account_tokens import TokenIssuer, new_key
from tenantry.apiserver.endpoints.health import Health
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import MASTERS_GROUP, User
from tenantry.base.metrics import Metrics
from tenantry.base.tasks import awaited
from tenantry.cli.local_platform import TTL_SECONDS, LocalPlatform
from tenantry.http.messages import Response, Stream
from tenantry.kube.objects import Object
from tenantry.placement.map import ShardInfo
from tenantry.placement.peers import Peers
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import RangeOpening
from tenantry.placement.urls import Urls
from tenantry.storage.memory import MemoryStore
from tenantry.tenancy.well_known import ROOT
from tenantry.virtual.view import View

URL = "https://localhost:6443"
MASTER = User("system:admin", (MASTERS_GROUP,))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
WORKSPACES = "apis/tenancy.kcp.io/v1alpha1/workspaces"
PATIENCE_SECONDS = 10.0
"""How long something may take to happen."""
_LOOK_SECONDS = 0.005


class Answer(NamedTuple):
    """An answer of the server. `body` is decoded; it is a text if it is not JSON."""

    status: int
    body: Any


class Events:
    """A running watch. `events`: what came. `ended`: whether the server has ended it."""

    def __init__(self, stream: Stream) -> None:
        self.events: list[Object] = []
        self.closed = asyncio.Event()
        self.buffered_bytes = 0
        self.buffer_limit_bytes = 64 << 20
        self._rest = b""
        self._task = awaited(stream.run(self), name="watch")

    @property
    def ended(self) -> bool:
        return self._task.done()

    def send(self, framed: bytes) -> None:
        while framed:
            size, _, rest = framed.partition(b"\r\n")
            length = int(size, 16)
            self._rest += rest[:length]
            framed = rest[length + 2 :]
        *lines, self._rest = self._rest.split(b"\n")
        self.events += map(orjson.loads, lines)

    def abort(self) -> None:
        self.closed.set()

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class ViewServer:
    """A platform with some views beside the built-in ones. A context manager. It needs no network and no disk."""

    def __init__(self, *views: type[View]) -> None:
        self.statuses: set[int] = set()
        """The status codes of all answers so far."""
        issuer = TokenIssuer.of_pem(new_key(), "memory")
        store = MemoryStore()

        def make_shard(*, name: str, range_map: RangeMap, opening: RangeOpening, peers: Peers) -> Shard:
            return Shard(
                info=ShardInfo(name, uuid.uuid4().hex, URL),
                store=store,
                range_map=range_map,
                opening=opening,
                peers=peers,
                urls=Urls(URL),
                identity=Identity(requests=[], tokens=[], issuer=issuer, anonymous=True),
                ca_certificate=b"",
                health=Health(),
                metrics=Metrics(),
                version="check",
                options=ShardOptions(ttl_seconds=TTL_SECONDS),
                views=views,
            )

        self._platform = LocalPlatform(store, capacity=1000, names=["shard-1"], make_shard=make_shard)
        self.shard = self._platform.shards["shard-1"]
        self._front: LocalProxy | None = None

    async def __aenter__(self) -> Self:
        await self._platform.start()
        self._front = LocalProxy(self.shard.directory, {"shard-1": self.shard.handle}, token_cluster=lambda _: None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._platform.stop()

    async def call(
        self,
        method: str,
        path: str,
        user: User = MASTER,
        body: Any = None,
        *,
        query: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer to a request of a user. `body` is encoded as JSON. `headers`: names in lower case."""
        reply = await self._reply(method, path, user, body, query, headers)
        if isinstance(reply, Stream):
            raise ValueError("call `watch` for a watch")
        return self._answer(reply)

    async def watch(self, path: str, user: User = MASTER, *, query: str = "") -> Events | Answer:
        """A running watch, to be stopped by the caller; or the answer that it was refused with."""
        reply = await self._reply("GET", path, user, None, f"watch=true&{query}", None)
        return Events(reply) if isinstance(reply, Stream) else self._answer(reply)

    async def workspace(self, name: str, parent: str = ROOT) -> str:
        """Creates a workspace. Returns the id of its logical cluster when it is Ready. Raises TimeoutError."""
        body = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}}
        path = f"/clusters/{parent}/{WORKSPACES}"
        await self.call("POST", path, body=body)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = (await self.call("GET", f"{path}/{name}")).body
                if (found.get("status") or {}).get("phase") == "Ready":
                    return str(found["spec"]["cluster"])
                await asyncio.sleep(_LOOK_SECONDS)

    async def idle(self) -> bool:
        """Whether the controllers become idle in time."""
        runner = self.shard.tenancy.runner

        async def look() -> bool:
            return runner.idle

        return await eventually(look)

    def range_of(self, cluster: str) -> str:
        """The name of the range of a logical cluster."""
        info = self._platform.map.range_of(cluster)
        return info.name if info is not None else ROOT

    async def _reply(
        self, method: str, path: str, user: User, body: Any, query: str, headers: Mapping[str, str] | None
    ) -> Response | Stream:
        payload = b"" if body is None else orjson.dumps(body)

        async def read(limit_bytes: int) -> bytes:
            return payload

        assert self._front is not None
        sent = {"content-type": "application/json", **(headers or {})}
        reply = await self._front(Request(method, path, query, sent, read, user=user))
        assert isinstance(reply, Response | Stream), "nothing is relayed in one process"
        return reply

    def _answer(self, reply: Response) -> Answer:
        self.statuses.add(reply.status)
        content = b"".join((reply.body, *reply.more))
        try:
            return Answer(reply.status, orjson.loads(content))
        except orjson.JSONDecodeError:
            return Answer(reply.status, content.decode())


async def eventually(look: Callable[[], Awaitable[bool]], seconds: float = PATIENCE_SECONDS) -> bool:
    """Whether `look()` is true within a time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not await look():
        if loop.time() > deadline:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return True
