"""The etcd engine on three members that die, freeze and fall behind."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

from tenantry._proto.etcd import rpc_pb2 as rpc
from tenantry.storage.etcd import EtcdConfig, EtcdStore
from tenantry.storage.etcd.client import EtcdClient
from tenantry.storage.etcd.methods import STATUS
from tenantry.storage.store import Compacted, Compare, Indeterminate, Put, Unavailable
from tests.storage.etcd.writes import ALL, collect, put_surely
from tests.support.etcd import EtcdServer
from tests.support.patience import PATIENCE_SECONDS
from tests.support.waiting import eventually


@pytest.fixture
def members() -> Iterator[list[EtcdServer]]:
    """Snapshots are taken often, so that a member that fell behind gets one in place of what it missed."""
    members = EtcdServer.cluster(3, extra=["--snapshot-count=40"])
    for member in members:
        member.start()
    yield members
    for member in members:
        member.stop()


@pytest.fixture
async def store(members: list[EtcdServer]) -> AsyncIterator[EtcdStore]:
    store = await open_on(*members)
    yield store
    await store.close()


async def open_on(*members: EtcdServer) -> EtcdStore:
    urls = tuple(member.url for member in members)
    return await EtcdStore.open(EtcdConfig(urls, last_retry_seconds=0.1, deadline_seconds=10))


async def leads(member: EtcdServer) -> bool:
    connection = EtcdClient(EtcdConfig((member.url,)))
    status = await connection.call(STATUS, rpc.StatusRequest())
    await connection.close()
    return bool(status.leader == status.header.member_id)


async def test_a_cluster_outlives_each_of_its_members(members: list[EtcdServer], store: EtcdStore) -> None:
    """Every member is killed in turn under writes and comes back; the client and its watch are where the leader is or is not."""
    begin = (await store.read(*ALL)).revision + 1
    live = asyncio.create_task(collect(store, begin, b"/last"))
    keys = [b"/%d/%02d" % (crash, at) for crash in range(3) for at in range(20)]
    for crash, member in enumerate(members):
        for key in keys[crash * 20 : crash * 20 + 10]:
            await put_surely(store, key)
        member.kill()
        for key in keys[crash * 20 + 10 : crash * 20 + 20]:
            await put_surely(store, key)
        member.start()
    await put_surely(store, b"/last")
    assert [key for _, key in await asyncio.wait_for(live, PATIENCE_SECONDS)] == [*keys, b"/last"]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_no_write_is_called_failed_that_happened_when_the_leader_is_lost(
    end: signal.Signals, members: list[EtcdServer], store: EtcdStore
) -> None:
    """Many writers, each of them with a key of its own for every attempt; the leader is killed, or freezes for good."""
    begin = (await store.read(*ALL)).revision + 1
    outcomes: dict[bytes, int | Exception] = {}
    after = asyncio.Event()

    async def write(writer: int) -> None:
        at = 0
        while True:
            key = b"/%02d/%05d" % (writer, at)
            try:
                outcomes[key] = await store.commit([Compare(key, 0)], [Put(key, b"v")], [])
            except (Unavailable, Indeterminate) as error:
                outcomes[key] = error
            else:
                if after.is_set():
                    return
            at += 1

    writers = [asyncio.create_task(write(number)) for number in range(16)]
    await eventually(lambda: len(outcomes) >= 50, 60)
    (leader,) = [member for member in members if await leads(member)]
    leader.signal(end)
    after.set()
    await asyncio.wait_for(asyncio.gather(*writers), 60)
    await put_surely(store, b"/last")
    seen = await asyncio.wait_for(collect(store, begin, b"/last"), PATIENCE_SECONDS)
    keys = [key for _, key in seen]
    assert len(set(keys)) == len(keys)
    revisions = {key: revision for revision, key in seen}
    for key, outcome in outcomes.items():
        if isinstance(outcome, int):
            assert revisions[key] == outcome
        elif isinstance(outcome, Unavailable):
            assert key not in revisions, f"{key!r} was called undone: {outcome}"


@pytest.mark.parametrize("compacted", [False, True])
async def test_a_watch_on_a_member_that_fell_behind(compacted: bool, members: list[EtcdServer], store: EtcdStore) -> None:
    """It shows everything, or says from where on it can; never less."""
    behind = members[0] if not await leads(members[0]) else members[1]
    near = await open_on(*(member for member in members if member is not behind))
    far = await open_on(behind)
    begin = (await near.read(*ALL)).revision + 1
    live = asyncio.create_task(collect(far, begin, b"/last"))
    keys = [b"/%03d" % at for at in range(300)]
    for key in keys[:20]:
        await put_surely(near, key)
    behind.signal(signal.SIGSTOP)
    for key in keys[20:]:
        await put_surely(near, key)
    last = (await near.read(*ALL)).revision
    if compacted:
        await near.compact(last)
    behind.signal(signal.SIGCONT)
    await put_surely(near, b"/last")
    try:
        seen = await asyncio.wait_for(live, 60)
    except Compacted as refused:
        assert compacted
        assert refused.revision == last
    else:
        # A member that gets the log and no snapshot shows what it applies before it compacts.
        assert [key for _, key in seen] == [*keys, b"/last"]
    await near.close()
    await far.close()
