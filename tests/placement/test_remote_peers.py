"""Calls between shards, over real sockets and TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tenantry.apiserver.authentication.client_certificate import ClientCertificates, RequestHeaders
from tenantry.apiserver.forwarded import BEYOND_CAPACITY, FROM_PEER, NOT_OWNER
from tenantry.apiserver.request import Handler, Request
from tenantry.apiserver.storage_errors import not_owner
from tenantry.apiserver.user import SYSTEM, User, make_extra
from tenantry.http.certificates import CertificateAuthority, Pair, pair_client_context, pair_server_context
from tenantry.http.messages import Relay, Reply, Response, Sink, Stream, frame
from tenantry.kube.status import StatusError
from tenantry.placement.map_rows import RangeRow, SessionRow, encode, range_key, session_key
from tenantry.placement.range_map import RangeMap
from tenantry.placement.remote_peers import RemotePeers
from tenantry.placement.shard_connections import ShardConnections
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Put
from tests.support.upstream import Upstream
from tests.support.waiting import one_turn

AUTHORITY = CertificateAuthority.create()
SHARDS = ("tenantry-shard",)
IDENTITIES = (RequestHeaders(AUTHORITY.certificate, allowed_names=SHARDS), ClientCertificates(AUTHORITY.certificate))
ADA = User("ada", ("devs", "system:authenticated"), "7", make_extra({"scopes": ["a", "b"]}))


class Gathered:
    lags = False
    ending = False

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        pass

    def on_ending(self, callback: object) -> None:
        pass


@dataclass
class Other(Upstream):
    """The other shard. `users`: in whose name it was asked."""

    answer: Reply | BaseException = field(default_factory=lambda: Response(200, b'{"kind":"Status"}'))
    users: list[User | None] = field(default_factory=list)

    async def __call__(self, request: Request) -> Reply:
        self.users.append(next((u for method in IDENTITIES if (u := method.authenticate_request(request))), None))
        return await super().__call__(request)


@dataclass
class TwoShards:
    store: MemoryStore
    map: RangeMap
    peers: RemotePeers
    other: Other
    owned: dict[str, Handler]
    """The ranges that this shard owns itself, by name."""

    async def give(self, owner: str) -> None:
        row = RangeRow("r", "t", 10, owner=owner, generation=1)
        await self.map.reached(await self.store.commit([], [Put(range_key("root"), encode(row))], []))


@pytest.fixture
async def shards() -> AsyncIterator[TwoShards]:
    async with _shards() as made:
        yield made


@asynccontextmanager
async def _shards(client: Pair | None = None, *, patience_seconds: float = 2.0) -> AsyncIterator[TwoShards]:
    other = Other()
    tls = pair_server_context(AUTHORITY.issue_serving(["127.0.0.1"]), client_ca_pem=AUTHORITY.certificate)
    async with other.listening(tls) as url:
        store = MemoryStore()
        await store.commit([], [Put(session_key("other"), encode(SessionRow("other", url, 1)))], [])
        range_map = RangeMap(store)
        await range_map.start()
        client = client or AUTHORITY.issue_client("tenantry-shard")
        owners = ShardConnections(range_map, tls=pair_client_context(AUTHORITY.certificate, client))
        owners.start()
        owned: dict[str, Handler] = {}
        peers = RemotePeers(range_map, owners, uid="me", own=owned.get, identities=IDENTITIES, patience_seconds=patience_seconds)
        shards = TwoShards(store, range_map, peers, other, owned)
        await shards.give("other")
        try:
            yield shards
        finally:
            owners.stop()
            await range_map.stop()
            await store.close()


async def body(limit_bytes: int) -> bytes:
    return b'{"a":1}'


async def test_own_calls_are_made_in_the_callers_name_and_answered_whole(shards: TwoShards) -> None:
    long = b'"' + b"x" * 300_000 + b'"'
    shards.other.answers = [Response(200, long), Response(404, b"{}")]
    reply = await shards.peers.call("root", Request("POST", "/clusters/root/api/v1/x", "a=b", user=ADA, read_body=body))
    assert isinstance(reply, Response)
    assert (reply.status, reply.body, reply.content_type) == (200, long, "application/json")
    asked = shards.other.requests[0]
    assert (asked.method, asked.path, asked.raw_query, shards.other.bodies[0]) == (
        "POST",
        "/clusters/root/api/v1/x",
        "a=b",
        b'{"a":1}',
    )
    assert shards.other.users[0] == ADA
    assert asked.header(FROM_PEER.lower())
    reply = await shards.peers.call("root", Request("GET", "/clusters/root", headers={"impersonate-user": "root"}, user=SYSTEM))
    assert reply.status == 404
    assert shards.other.users[1] is not None and shards.other.users[1].is_master
    assert not shards.other.requests[1].header("impersonate-user")


async def test_what_comes_from_outside_keeps_its_token_and_loses_forged_names(shards: TwoShards) -> None:
    headers = {
        "host": "tenantry.test",
        "authorization": "Bearer t",
        "x-remote-user": "root",
        "x-remote-group": "system:masters",
        "impersonate-user": "ada",
    }
    reply = await shards.peers.call("root", Request("GET", "/clusters/root/version", headers=headers, remote="10.0.0.1"))
    assert isinstance(reply, Relay)
    asked = shards.other.requests[0]
    assert asked.header("authorization") == "Bearer t"
    assert asked.header("impersonate-user") == "ada"
    assert not asked.header("x-remote-user") and not asked.header("x-remote-group")


async def test_a_shard_says_that_capacity_does_not_count_and_nobody_else_does(shards: TwoShards) -> None:
    name = BEYOND_CAPACITY.lower()
    await shards.peers.call("root", Request("POST", "/clusters/root/x", user=SYSTEM, read_body=body, beyond_capacity=True))
    await shards.peers.call("root", Request("POST", "/clusters/root/x", user=SYSTEM, read_body=body))
    forged = {"host": "tenantry.test", "authorization": "Bearer t", name: "true"}
    await shards.peers.call("root", Request("POST", "/clusters/root/x", headers=forged, read_body=body))
    await shards.peers.call("root", Request("POST", "/clusters/root/x", headers=forged, user=SYSTEM, read_body=body))
    assert [asked.header(name) for asked in shards.other.requests] == ["true", "", "", ""]


async def test_streams_are_passed_on_as_they_come(shards: TwoShards) -> None:
    async def run(sink: Sink) -> None:
        for number in range(3):
            sink.send(frame(b"event %d\n" % number))
            await one_turn()

    shards.other.answers = [Stream(run)]
    headers = {"host": "tenantry.test"}
    request = Request("GET", "/clusters/root/api/v1/x", "watch=1", headers=headers, remote="10.0.0.1")
    reply = await shards.peers.call("root", request)
    assert isinstance(reply, Relay) and reply.chunked and reply.run is not None
    sink = Gathered()
    assert await reply.run(sink)
    assert b"event 0\n" in sink.data and b"event 2\n" in sink.data


async def test_a_range_on_its_way_is_waited_for(shards: TwoShards) -> None:
    shards.other.answers = [not_owner("not yet"), not_owner("not yet")]
    reply = await shards.peers.call("root", Request("POST", "/clusters/root/x", user=SYSTEM, read_body=body))
    assert reply.status == 200
    assert shards.other.bodies == [b'{"a":1}'] * 3
    await shards.give("")
    calling = asyncio.create_task(shards.peers.call("root", Request("POST", "/clusters/root/x", user=SYSTEM)))
    await one_turn()
    await shards.give("other")
    assert (await calling).status == 200


async def test_refusals(shards: TwoShards) -> None:
    with pytest.raises(StatusError) as caught:
        await shards.peers.call("root", Request("GET", "/clusters/root", headers={FROM_PEER.lower(): "true"}))
    assert NOT_OWNER in caught.value.headers
    await shards.give("me")
    with pytest.raises(StatusError) as caught:
        await shards.peers.call("root", Request("GET", "/clusters/root"))
    assert (caught.value.code, NOT_OWNER in caught.value.headers) == (503, True)


async def test_a_write_whose_answer_was_lost_is_not_repeated(shards: TwoShards) -> None:
    for method, status in (("POST", 502), ("GET", 200)):
        shards.other.requests.clear()
        shards.other.answers = [asyncio.CancelledError()]
        request = Request(method, "/clusters/root/x", user=SYSTEM)
        if status == 200:
            assert (await shards.peers.call("root", request)).status == 200
        else:
            with pytest.raises(StatusError) as caught:
                await shards.peers.call("root", request)
            assert caught.value.code == status
            assert len(shards.other.requests) == 1


async def test_a_range_that_came_here_meanwhile_is_asked_here(shards: TwoShards) -> None:
    async def own(request: Request) -> Reply:
        return Response(200, b'"own"')

    shards.owned["root"] = own
    reply = await shards.peers.call("root", Request("GET", "/clusters/root/api/v1/x", user=ADA))
    assert isinstance(reply, Response)
    assert reply.body == b'"own"'
    assert not shards.other.requests


async def test_a_write_that_tls_refused_was_not_carried_out_and_is_not_said_to_be_in_doubt() -> None:
    stranger = CertificateAuthority.create("another").issue_client("tenantry-shard")
    async with _shards(stranger, patience_seconds=0.0) as shards:
        with pytest.raises(StatusError) as refused:
            await shards.peers.call("root", Request("POST", "/clusters/root/api/v1/x", user=ADA, read_body=body))
        assert refused.value.code == 503
        assert "refused by TLS: unknown CA" in str(refused.value)
        assert shards.other.requests == []
