"""Everything that `tenantry start` runs but sockets and SQLite: registry, shards and front proxy over a store in memory."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, TypeVar

import orjson

from gateway.local_proxy import LocalProxy
from shard.options import ShardOptions
from shard.wiring import Shard
from tenantry.apiserver.authentication.authenticator import TokenAuthenticator
from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.apiserver.authentication.identity import Identity
from tenantry.apiserver.authentication.service_account_tokens import TokenIssuer
from tenantry.apiserver.endpoints.health import Health
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import AUTHENTICATED_GROUP, User
from tenantry.base.metrics import Metrics
from tenantry.cli.local_platform import TTL_SECONDS, LocalPlatform
from tenantry.http.certificates import CertificateAuthority
from tenantry.http.messages import Reply, Response
from tenantry.kube.objects import Object
from tenantry.placement.map import ShardInfo
from tenantry.placement.peers import Peers
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import RangeOpening
from tenantry.placement.urls import Urls
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Store
from tenantry.tenancy.well_known import ROOT
from tenantry.tenancy.wiring import Tenancy
from tenantry.virtual.view import View
from tests.support.people import MASTER
from tests.support.tenancies import changes_of
from tests.support.waiting import after_changes

URL = "https://tenantry.test:6443"
WORKSPACES = "apis/tenancy.kcp.io/v1alpha1/workspaces"
T = TypeVar("T")
_cells = cycle(range(2, 250))


def new_cell() -> int:
    """The number of a store's cell. What the process remembers by resource version must not meet another store's."""
    return next(_cells)


SIGNER = ClusterAuthority(CertificateAuthority.create())
"""Signs client certificates, for all that tests make: to make one takes milliseconds."""


class Stack:
    """A running system. Answers are (status, decoded body)."""

    def __init__(
        self,
        store: Store,
        keys: Path,
        *,
        shards: int,
        capacity: int,
        home_creator_groups: Sequence[str] | None,
        tokens: Sequence[TokenAuthenticator] = (),
        views: Sequence[type[View]] | None = None,
    ) -> None:
        issuer = TokenIssuer.load(keys / "service-account.key")

        def make_shard(*, name: str, range_map: RangeMap, opening: RangeOpening, peers: Peers) -> Shard:
            return Shard(
                info=ShardInfo(name, uuid.uuid4().hex, URL),
                store=store,
                range_map=range_map,
                opening=opening,
                peers=peers,
                urls=Urls(URL),
                identity=Identity(requests=[], tokens=tokens, issuer=issuer, anonymous=True, signer=SIGNER),
                ca_certificate=b"-----BEGIN CERTIFICATE-----\n",
                health=Health(),
                metrics=Metrics(),
                version="test",
                options=ShardOptions(home_creator_groups=home_creator_groups, ttl_seconds=TTL_SECONDS),
                views=views,
            )

        names = [f"shard-{number + 1}" for number in range(shards)]
        self.fleet = LocalPlatform(store, capacity=capacity, names=names, make_shard=make_shard)
        self.map = self.fleet.map
        self.shards = self.fleet.shards
        self._front: LocalProxy | None = None

    async def start(self) -> None:
        await self.fleet.start()
        self._front = LocalProxy(
            self.tenancy.directory, {name: shard.handle for name, shard in self.shards.items()}, token_cluster=lambda _: None
        )

    async def stop(self) -> None:
        await self.fleet.stop()

    @property
    def tenancy(self) -> Tenancy:
        """The one that holds `root`."""
        return next(shard.tenancy for shard in self.shards.values() if shard.cell.owns(ROOT))

    def tenancy_of(self, cluster: str) -> Tenancy:
        return next(shard.tenancy for shard in self.shards.values() if shard.cell.owns(cluster))

    async def answer(self, method: str, path: str, who: User, body: Any = None, query: str = "", **headers: str) -> Response:
        payload = b"" if body is None else orjson.dumps(body)

        async def read(limit_bytes: int) -> bytes:
            return payload

        sent = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        assert self._front is not None
        reply = await self._front(Request(method, path, query, sent, read, user=who))
        assert isinstance(reply, Response)
        return reply

    async def flow(self, path: str, who: User) -> dict[str, str]:
        """The headers of the answer to a GET that say which FlowSchema and priority level the request belongs to."""
        request = Request("GET", path, user=who)
        assert self._front is not None
        await self._front(request)
        return dict(line.split(": ") for line in request.header_lines.splitlines())

    async def handle(self, request: Request) -> Reply:
        """The answer to a request as the HTTP server makes it, whose caller is yet to be authenticated."""
        assert self._front is not None
        return await self._front(request)

    async def call(
        self, method: str, path: str, who: User = MASTER, body: Any = None, query: str = "", **headers: str
    ) -> tuple[int, Any]:
        reply = await self.answer(method, path, who, body, query, **headers)
        content = b"".join((reply.body, *reply.more))
        try:
            return reply.status, orjson.loads(content)
        except orjson.JSONDecodeError:
            return reply.status, content.decode()

    async def create_workspace(self, parent: str, name: str, who: User = MASTER, **spec: Any) -> None:
        body = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}, "spec": spec}
        status, answer = await self.call("POST", f"/clusters/{parent}/{WORKSPACES}", who, body)
        assert status == 201, answer

    async def workspace(self, parent: str, name: str, who: User = MASTER, **spec: Any) -> str:
        """A new workspace, Ready; its cluster."""
        await self.create_workspace(parent, name, who, **spec)
        return str((await self.ready(parent, name))["spec"]["cluster"])

    async def ready(self, parent: str, name: str) -> Object:
        async def check() -> Object | None:
            status, found = await self.call("GET", f"/clusters/{parent}/{WORKSPACES}/{name}")
            assert isinstance(found, dict), (status, found)
            return found if (found.get("status") or {}).get("phase") == "Ready" else None

        found: Object = await self.eventually(check)
        return found

    async def gone(self, parent: str, name: str) -> None:
        async def check() -> bool:
            return (await self.call("GET", f"/clusters/{parent}/{WORKSPACES}/{name}"))[0] == 404

        await self.eventually(check)

    async def eventually(self, check: Callable[[], Awaitable[T | None]]) -> T:
        """The first true result of `check`, which is awaited after each commit anywhere."""
        return await after_changes(check, self.map.subscribe, *(changes_of(shard.tenancy) for shard in self.shards.values()))


@asynccontextmanager
async def running(
    keys: Path,
    *,
    store: Store | None = None,
    shards: int = 1,
    capacity: int = 1000,
    home_creator_groups: Sequence[str] | None = (AUTHENTICATED_GROUP,),
    tokens: Sequence[TokenAuthenticator] = (),
    views: Sequence[type[View]] | None = None,
) -> AsyncIterator[Stack]:
    """`keys`: a directory for the service account key, kept over restarts. `tokens`: who is known by a token. `views`: those of
    packages; None: of the installed ones."""
    stack = Stack(
        store or MemoryStore(new_cell()),
        keys,
        shards=shards,
        capacity=capacity,
        home_creator_groups=home_creator_groups,
        tokens=tokens,
        views=views,
    )
    await stack.start()
    try:
        yield stack
    finally:
        await stack.stop()
