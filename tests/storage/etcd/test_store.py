"""The etcd engine against what happens to real etcds: crashes, cuts, lost answers, certificates, passwords, full disks."""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from tenantry._proto.etcd import rpc_pb2 as rpc
from tenantry.http.certificates import CertificateAuthority
from tenantry.storage import resource_version
from tenantry.storage.etcd import EtcdConfig, EtcdStore, member_connection
from tenantry.storage.etcd.call_errors import NotPermitted
from tenantry.storage.etcd.leases import seconds_left
from tenantry.storage.etcd.methods import RANGE
from tenantry.storage.etcd.server_version import reports_progress_on_request
from tenantry.storage.etcd.values import CELL_KEY
from tenantry.storage.keys import JOURNAL, Key
from tenantry.storage.record import Change
from tenantry.storage.store import (
    Compacted,
    Compare,
    Damaged,
    Delete,
    Indeterminate,
    LeaseGone,
    Put,
    Store,
    TooLarge,
    Unavailable,
)
from tests.storage.etcd.writes import ALL, collect, put_surely
from tests.support.etcd import EtcdServer
from tests.support.patience import PATIENCE_SECONDS
from tests.support.proxy import Proxy
from tests.support.ranges import cell_on
from tests.support.stores import Watch
from tests.support.waiting import eventually, eventually_answers

RESOURCE = "core/configmaps"
Open = Callable[..., Awaitable[EtcdStore]]
PATIENT = {"deadline_seconds": 60.0, "dial_seconds": 20.0, "commit_seconds": 30.0}
"""Unless a test says otherwise it is about what etcd answers, not when: a machine may let it wait."""


@pytest.fixture
def server() -> Any:
    server = EtcdServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def open_store(server: EtcdServer) -> AsyncIterator[Open]:
    """Opens stores on the server, or on other URLs, which lose no time between two attempts."""
    opened: list[EtcdStore] = []

    async def open_(*urls: str, **settings: Any) -> EtcdStore:
        settings = {
            **PATIENT,
            "opening_seconds": PATIENCE_SECONDS,
            "first_retry_seconds": 0.01,
            "last_retry_seconds": 0.05,
            **settings,
        }
        opened.append(await EtcdStore.open(EtcdConfig(urls or (server.url,), **settings)))
        return opened[-1]

    yield open_
    for store in opened:
        await store.close()


@pytest.fixture
async def proxy(server: EtcdServer) -> AsyncIterator[Proxy]:
    proxy = Proxy(server.port)
    await proxy.start()
    yield proxy
    await proxy.stop()


def url(proxy: Proxy) -> str:
    return f"http://127.0.0.1:{proxy.port}"


async def test_a_watch_over_crashes_loses_and_doubles_nothing(server: EtcdServer, open_store: Open) -> None:
    store = await open_store()
    begin = (await store.read(*ALL)).revision + 1
    live = asyncio.create_task(collect(store, begin, b"/last"))
    for crash in range(4):
        for at in range(20):
            if at == 10:
                server.kill()
                server.start()
            await put_surely(store, b"/%d/%02d" % (crash, at))
    await put_surely(store, b"/last")
    seen = await asyncio.wait_for(live, PATIENCE_SECONDS)
    again = await collect(store, begin, b"/last")
    assert seen == again
    assert [key for _, key in seen] == [b"/%d/%02d" % (crash, at) for crash in range(4) for at in range(20)] + [b"/last"]
    assert sorted({revision for revision, _ in seen}) == [revision for revision, _ in seen]


async def test_another_endpoint_takes_over(server: EtcdServer, open_store: Open) -> None:
    proxies = [Proxy(server.port) for _ in range(3)]
    for proxy in proxies:
        await proxy.start()
    store = await open_store(*map(url, proxies))
    begin = (await store.read(*ALL)).revision + 1
    live = asyncio.create_task(collect(store, begin, b"/last"))
    for at in range(9):
        serving = proxies[at % 3]
        serving.refusing = True
        serving.cut()
        proxies[(at + 2) % 3].refusing = False
        await put_surely(store, b"/%d" % at)
    await put_surely(store, b"/last")
    assert [key for _, key in await asyncio.wait_for(live, PATIENCE_SECONDS)] == [b"/%d" % at for at in range(9)] + [b"/last"]
    assert all(proxy.accepted for proxy in proxies)
    await store.close()
    for proxy in proxies:
        await proxy.stop()


async def test_a_member_that_falls_silent_is_left(server: EtcdServer, proxy: Proxy, open_store: Open) -> None:
    store = await open_store(url(proxy), server.url, deadline_seconds=5.0)
    await store.commit([], [Put(b"/a", b"1")], [])
    proxy.mute = True
    assert [kv.value for kv in (await store.read(*ALL)).kvs] == [b"1"]


async def test_a_commit_that_was_never_sent_is_unavailable(server: EtcdServer, proxy: Proxy, open_store: Open) -> None:
    store = await open_store(url(proxy), deadline_seconds=3.0, reconnect_seconds=3.0)
    watch = Watch(store, *ALL, 1)
    await watch.progress()
    proxy.refusing = True
    proxy.cut()
    await eventually_answers(lambda: raises(Unavailable, store.read(*ALL)))
    with pytest.raises(Unavailable, match="no etcd endpoint answers"):
        await store.commit([], [Put(b"/a", b"")], [])
    with pytest.raises(Unavailable):
        await watch.next()
    proxy.refusing = False
    assert (await store.read(*ALL)).kvs == []


async def raises(kind: type[Exception], call: Awaitable[object]) -> bool:
    try:
        await call
    except kind:
        return True
    return False


async def test_a_commit_without_an_answer_is_indeterminate(server: EtcdServer, proxy: Proxy, open_store: Open) -> None:
    store, beside = await open_store(url(proxy)), await open_store()
    proxy.mute = True
    commit = asyncio.create_task(store.commit([], [Put(b"/a", b"")], []))
    await eventually_answers(lambda: has(beside, b"/a"))
    proxy.cut()
    with pytest.raises(Indeterminate):
        await commit
    proxy.mute = False
    store = await open_store(url(proxy), deadline_seconds=2.0)
    proxy.deaf = True
    with pytest.raises(Indeterminate):
        await store.commit([], [Put(b"/b", b"")], [])
    assert not await has(beside, b"/b")


async def has(store: Store, key: bytes) -> bool:
    return bool((await store.read(key, key + b"\0")).kvs)


@pytest.fixture
def tls(tmp_path: Path) -> Any:
    """An etcd that wants client certificates, and the files for it."""
    authority = CertificateAuthority.create("etcd-ca")
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    authority.issue_serving(["127.0.0.1", "etcd.example"]).write(tmp_path / "server.crt", tmp_path / "server.key")
    authority.issue_client("shard").write(tmp_path / "client.crt", tmp_path / "client.key")
    other = CertificateAuthority.create("other-ca")
    (tmp_path / "other-ca.crt").write_bytes(other.certificate)
    other.issue_client("shard").write(tmp_path / "other.crt", tmp_path / "other.key")
    before = CertificateAuthority(authority.pair, now=lambda: datetime.now(UTC) - timedelta(days=9))
    before.issue_serving(["127.0.0.1"], life_seconds=8 * 86400).write(tmp_path / "expired.crt", tmp_path / "expired.key")
    server = EtcdServer(
        tls=[
            "--client-cert-auth",
            f"--trusted-ca-file={tmp_path / 'ca.crt'}",
            f"--cert-file={tmp_path / 'server.crt'}",
            f"--key-file={tmp_path / 'server.key'}",
        ]
    )
    server.start()
    yield server, tmp_path
    server.stop()


async def test_certificates_on_both_sides(tls: tuple[EtcdServer, Path], open_store: Open) -> None:
    server, files = tls
    client = {"certificate": files / "client.crt", "certificate_key": files / "client.key"}
    store = await open_store(server.url, certificate_authority=files / "ca.crt", **client)
    await store.commit([], [Put(b"/a", b"1")], [])
    named = await open_store(server.url, certificate_authority=files / "ca.crt", server_name="etcd.example", **client)
    assert [kv.value for kv in (await named.read(*ALL)).kvs] == [b"1"]


WRONG_FILES = {
    "wrong CA": ({"certificate_authority": "other-ca.crt"}, "is not signed by the certificate authority"),
    "no CA file": ({"certificate_authority": "missing.crt"}, "No such file"),
    "not a CA file": ({"certificate_authority": "client.key"}, "holds no certificates"),
    "wrong name": ({"server_name": "elsewhere.example"}, "is for another name"),
    "no client certificate": ({"certificate": "", "certificate_key": ""}, "client certificate"),
    "client certificate of another CA": ({"certificate": "other.crt", "certificate_key": "other.key"}, "client certificate"),
    "expired client certificate": ({"certificate": "expired.crt", "certificate_key": "expired.key"}, r"expired\.crt, expired at"),
    "the key of another": ({"certificate_key": "other.key"}, "not the key of"),
    "not a key": ({"certificate_key": "client.crt"}, "not an unencrypted private key"),
}


@pytest.mark.parametrize("wrong", WRONG_FILES)
async def test_wrong_certificates_are_refused_with_the_reason(wrong: str, tls: tuple[EtcdServer, Path], open_store: Open) -> None:
    server, files = tls
    changes, reason = WRONG_FILES[wrong]
    named = {"certificate_authority": "ca.crt", "certificate": "client.crt", "certificate_key": "client.key", **changes}
    options = {key: name if key == "server_name" else (files / name if name else None) for key, name in named.items()}
    with pytest.raises(Unavailable, match=reason):
        await open_store(server.url, deadline_seconds=5.0, opening_seconds=0.0, **options)


async def test_an_expired_certificate_of_the_server_is_refused(
    tls: tuple[EtcdServer, Path], open_store: Open, tmp_path: Path
) -> None:
    server, files = tls
    server.kill()
    for suffix in ("crt", "key"):
        (files / f"server.{suffix}").write_bytes((files / f"expired.{suffix}").read_bytes())
    server.start()
    client = {"certificate": files / "client.crt", "certificate_key": files / "client.key"}
    with pytest.raises(Unavailable, match="its certificate has expired"):
        await open_store(server.url, deadline_seconds=5.0, opening_seconds=0.0, certificate_authority=files / "ca.crt", **client)


async def test_tls_and_none_are_told_apart(tls: tuple[EtcdServer, Path], server: EtcdServer, open_store: Open) -> None:
    with pytest.raises(Unavailable, match="an etcd with TLS begins with https://"):
        await open_store(tls[0].url.replace("https", "http"), deadline_seconds=5.0, opening_seconds=0.0)
    with pytest.raises(Unavailable, match="an etcd without TLS begins with http://"):
        await open_store(
            server.url.replace("http", "https"),
            deadline_seconds=5.0,
            opening_seconds=0.0,
            certificate_authority=tls[1] / "ca.crt",
        )


def administer(server: EtcdServer, path: str, **body: object) -> None:
    """A call of etcd's JSON form of its API."""
    request = urllib.request.Request(f"{server.url}/v3/{path}", json.dumps(body).encode())
    urllib.request.urlopen(request, timeout=5).read()


def demand_passwords(server: EtcdServer) -> None:
    """From now on there are two users: `root`, and `ada`, who may do as she likes below /part/ and with the cell's number."""
    administer(server, "auth/role/add", name="root")
    administer(server, "auth/role/add", name="part")
    for first, last in ((b"/part/", b"/part0"), (CELL_KEY, CELL_KEY + b"\0")):
        key, end = base64.b64encode(first).decode(), base64.b64encode(last).decode()
        administer(server, "auth/role/grant", name="part", perm={"permType": "READWRITE", "key": key, "range_end": end})
    for user, role in (("root", "root"), ("ada", "part")):
        administer(server, "auth/user/add", name=user, password="secret")
        administer(server, "auth/user/grant", user=user, role=role)
    administer(server, "auth/enable")


@pytest.fixture
def forgetful() -> Any:
    """Forgets tokens one second after their last use."""
    server = EtcdServer(extra=["--auth-token-ttl=1", "--logger=zap", "--log-level=info"])
    server.start()
    yield server
    server.stop()


async def test_tokens_that_expire_are_renewed(forgetful: EtcdServer, open_store: Open) -> None:
    """A watch outlives its token; calls, and watches that are opened with one that etcd has forgotten, get another."""
    await open_store(forgetful.url)
    await asyncio.to_thread(demand_passwords, forgetful)
    store = await open_store(forgetful.url, user="root", password="secret")
    connection = store._connection
    begin = (await store.read(*ALL)).revision + 1
    live = Watch(store, *ALL, begin)
    await live.progress()

    async def forgotten() -> str:
        """The token that is in use, once etcd does not know it any more."""
        token = connection._token
        member = await connection.link(asyncio.get_running_loop().time() + 5)

        # A look at the token would keep it alive: etcd's log says when it has let it go.
        await eventually(lambda: f'"deleted a simple token","user-name":"root","token":"{token}"' in forgetful.log.read_text())
        with pytest.raises(grpc.aio.AioRpcError, match="invalid auth token"):
            await member.call(RANGE, rpc.RangeRequest(key=b"/"), 5, token)
        return token

    token = await forgotten()
    first = await store.commit([], [Put(b"/a", b"1")], [])
    assert connection._token != token
    assert (await asyncio.wait_for(live.next(), 10)).revision == first
    token = await forgotten()
    late = Watch(store, *ALL, begin)
    assert (await asyncio.wait_for(late.next(), 10)).revision == first
    assert connection._token != token
    for watch in (live, late):
        await watch.close()


async def test_what_a_user_may_not_is_said_at_once(server: EtcdServer, open_store: Open) -> None:
    await open_store()
    await asyncio.to_thread(demand_passwords, server)
    try:
        store = await open_store(user="ada", password="secret")
    except NotPermitted as error:
        # From 3.6 on nobody but root is even told the version.
        assert "role root" in str(error)
        return
    await store.commit([], [Put(b"/part/a", b"")], [])
    with pytest.raises(NotPermitted, match="role root"):
        await store.commit([], [Put(b"/a", b"")], [])
    with pytest.raises(NotPermitted, match="role root"):
        await store.read(*ALL)
    revision = (await store.read(b"/part/", b"/part0")).revision
    for begin in (1, revision + 1):
        with pytest.raises(NotPermitted, match="role root"):
            await asyncio.wait_for(Watch(store, *ALL, begin).next(), 10)


async def test_passwords_and_tokens_that_are_forgotten(server: EtcdServer, open_store: Open) -> None:
    before = await open_store()
    await before.commit([], [Put(b"/a", b"1")], [])
    await asyncio.to_thread(demand_passwords, server)
    with pytest.raises(Unavailable, match="asks for a user"):
        await before.read(*ALL)
    with pytest.raises(Unavailable, match="refuses the user"):
        await open_store(user="root", password="wrong", deadline_seconds=5.0, opening_seconds=0.0)
    store = await open_store(user="root", password="secret")
    begin = (await store.read(*ALL)).revision + 1
    live = asyncio.create_task(collect(store, begin, b"/last"))
    for at in range(3):
        server.kill()
        server.start()
        await put_surely(store, b"/%d" % at)
    lease = await store.grant_lease(60)
    assert await store.keep_alive(lease) == 60
    await put_surely(store, b"/last")
    assert len(await asyncio.wait_for(live, PATIENCE_SECONDS)) == 4


async def test_what_etcd_compacted_by_itself_is_gone_whole(open_store: Open) -> None:
    """etcd compacted at a deletion has forgotten that deletion and can not tell what was before it."""
    store, other = await open_store(), await open_store()
    await store.commit([], [Put(b"/a", b"1"), Put(b"/b", b"1")], [])
    deleted = await store.commit([], [Put(b"/b", b"2")], [Delete(b"/a")])
    last = await store.commit([], [Put(b"/b", b"3")], [])
    await other.compact(deleted + 1)
    for refused in (deleted, deleted - 1, 1):
        watch = Watch(store, *ALL, refused)
        with pytest.raises(Compacted) as compacted:
            await watch.next()
        assert compacted.value.revision == last
        with pytest.raises(Compacted) as compacted:
            await store.read(*ALL, revision=refused)
        assert compacted.value.revision == last
    watch = Watch(store, *ALL, last)
    (event,) = (await watch.next()).events
    assert event.previous is not None
    assert (event.kv.value, event.previous.value) == (b"3", b"2")
    await watch.close()


async def test_a_cut_watch_whose_place_is_compacted_says_so(proxy: Proxy, open_store: Open) -> None:
    store, beside = await open_store(url(proxy)), await open_store()
    watch = Watch(store, *ALL, 1)
    await watch.progress()
    following = asyncio.ensure_future(watch.next())
    proxy.refusing = True
    proxy.cut()
    revisions = [await beside.commit([], [Put(b"/a", b"%d" % at)], []) for at in range(5)]
    await beside.compact(revisions[3])
    proxy.refusing = False
    with pytest.raises(Compacted) as refused:
        await following
    assert refused.value.revision == revisions[3]


async def test_a_revision_of_many_pieces_is_one_batch(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await open_store()
    begin = (await store.read(*ALL)).revision + 1
    watch = Watch(store, *ALL, begin)
    await watch.progress()
    pieces = 0
    read = member_connection.EtcdStream.read

    async def counted(stream: member_connection.EtcdStream) -> Any:
        nonlocal pieces
        response = await read(stream)
        pieces += response.fragment
        return response

    monkeypatch.setattr(member_connection.EtcdStream, "read", counted)
    big = b"v" * 12_000
    for _ in range(3):
        await store.commit([], [Put(b"/%03d" % at, big, at) for at in range(100)], [])
    live = [await watch.next() for _ in range(3)]
    await watch.close()
    assert pieces
    again = Watch(store, *ALL, begin)
    history, _ = await again.progress()
    await again.close()
    assert [len(batch.events) for batch in live] == [100, 100, 100]
    assert live == history
    assert [(event.kv.index, event.previous is None) for event in live[2].events] == [(at, False) for at in range(100)]


async def test_answers_of_any_size_are_read_whole(open_store: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_connection, "ANSWER_BYTES_LIMIT", 50_000)
    store = await open_store()
    for at in range(0, 100, 20):
        await store.commit([], [Put(b"/%03d" % number, b"v" * 10_000) for number in range(at, at + 20)], [])
    assert [kv.key for kv in (await store.read(*ALL)).kvs] == [b"/%03d" % at for at in range(100)]
    page = await store.read(*ALL, limit=30)
    assert (len(page.kvs), page.more) == (30, True)
    with pytest.raises(TooLarge):
        await store.commit([], [Put(b"/big", b"v" * 1_900_000)], [])
    with pytest.raises(TooLarge):
        await store.commit([], [Put(b"/big", b"v" * 5_000_000)], [])
    await store.commit([], [Put(b"/big", b"v" * 60_000)], [])
    with pytest.raises(Unavailable):
        await store.read(b"/big", b"/bigger")


async def test_a_full_etcd_takes_no_writes_and_says_why(open_store: Open) -> None:
    full = EtcdServer(extra=["--quota-backend-bytes=2000000"])
    full.start()
    try:
        store = await open_store(full.url)
        revision = 0
        with pytest.raises(Unavailable, match="space exceeded"):
            for _ in range(50):
                try:
                    revision = await store.commit([Compare(b"/a", revision)], [Put(b"/a", b"v" * 500_000)], [])
                except Indeterminate:
                    # The one that filled it, if etcd notices only as it carries it out (see below).
                    revision = (await store.read(*ALL)).kvs[0].mod_revision
        assert len((await store.read(*ALL)).kvs) == 1
        await store.close()
    finally:
        full.stop()


async def test_what_filled_etcd_is_not_called_undone(open_store: Open) -> None:
    """etcd does commits that it took in before it was full, and answers that there is no space."""
    full = EtcdServer(extra=["--quota-backend-bytes=2500000"])
    full.start()
    try:
        store = await open_store(full.url)
        keys = [b"/%02d" % at for at in range(24)]
        commits = [store.commit([Compare(key, 0)], [Put(key, b"v" * 300_000)], []) for key in keys]
        outcomes = dict(zip(keys, await asyncio.gather(*commits, return_exceptions=True), strict=True))
        there = {kv.key for kv in (await store.read(*ALL)).kvs}
        assert {type(outcome) for outcome in outcomes.values()} <= {int, Unavailable, Indeterminate}
        assert all(key in there for key, outcome in outcomes.items() if isinstance(outcome, int))
        assert not any(key in there for key, outcome in outcomes.items() if isinstance(outcome, Unavailable))
        with pytest.raises(Indeterminate, match="is full"):
            for _ in range(50):
                await store.commit([], [Put(b"/a", b"v" * 500_000)], [])
        await store.close()
    finally:
        full.stop()


async def test_a_lease_ends_by_itself(open_store: Open) -> None:
    store = await open_store()
    lease, lasting = await store.grant_lease(0.5), await store.grant_lease(60)
    assert 0 <= await seconds_left(store._connection, lease) <= 1
    revision = await store.commit([], [Put(b"/a", b"", 0, lease), Put(b"/b", b"", 1, lasting)], [])
    watch = Watch(store, *ALL, revision + 1)
    (event,) = (await asyncio.wait_for(watch.next(), 10)).events
    assert (event.deleted, event.kv.key) == (True, b"/a")
    with pytest.raises(LeaseGone):
        await seconds_left(store._connection, lease)
    with pytest.raises(LeaseGone) as gone:
        await store.commit([], [Put(b"/a", b"", 0, lasting), Put(b"/c", b"", 1, lease)], [])
    assert gone.value.lease == lease
    await watch.close()


async def test_values_that_are_not_ours_are_reported(server: EtcdServer, open_store: Open) -> None:
    store = await open_store()
    await asyncio.to_thread(administer, server, "kv/put", key="L2E=", value="")
    with pytest.raises(Damaged, match="not written by tenantry"):
        await store.read(*ALL)
    with pytest.raises(ValueError, match="index"):
        await store.commit([], [Put(b"/b", b"", 128)], [])


async def test_the_cells_number_stays(open_store: Open, server: EtcdServer) -> None:
    first = await EtcdStore.open(EtcdConfig((server.url,)), cell=9)
    second = await EtcdStore.open(EtcdConfig((server.url,)), cell=4)
    assert (first.cell, second.cell) == (9, 9)
    await first.close()
    await second.close()


def create(name: str) -> Change:
    return Change(Key("root", RESOURCE, "default", name), b"{}", None, None)


@pytest.mark.parametrize("lost", ["mute", "deaf"])
async def test_the_journal_says_what_became_of_a_lost_answer(lost: str, proxy: Proxy, open_store: Open) -> None:
    """The commit takes effect once, whether it was the request that was lost or the answer."""
    store, beside = await open_store(url(proxy)), await open_store()
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    await cell.commit([create("before")])
    before = (await beside.read(*ALL)).revision
    setattr(proxy, lost, True)
    write = asyncio.ensure_future(cell.commit([create("a"), create("b")]))
    if lost == "mute":
        journal = f"{JOURNAL}shard-1".encode()
        await eventually_answers(lambda: journaled(beside, journal, before))
    else:
        await asyncio.wait([write], timeout=0.05)
    proxy.refusing = True
    proxy.cut()
    setattr(proxy, lost, False)
    proxy.refusing = False
    records = await asyncio.wait_for(write, 60)
    assert (await beside.read(*ALL)).revision == before + 1
    assert [resource_version.revision_of(record.version) for record in records if record] == [before + 1] * 2
    assert range_.count(RESOURCE) == 3
    (after,) = await cell.commit([create("after")])
    assert after is not None
    assert resource_version.revision_of(after.version) == before + 2
    await cell.close()


async def journaled(store: Store, key: bytes, after: int) -> bool:
    page = await store.read(key, key + b"\0")
    return bool(page.kvs) and page.kvs[0].mod_revision > after


async def test_versions_and_history_are_the_same_after_a_crash(server: EtcdServer, open_store: Open) -> None:
    store = await open_store()
    cell = cell_on(store)
    range_ = await cell.acquire("root", "r", "t")
    begin = range_.version
    made = await asyncio.gather(*(cell.commit([create(str(at))]) for at in range(60)))
    records = [record for (record,) in made if record is not None]
    changes = [Change(record.key, b'{"new":1}' if at % 3 else None, None, record) for at, record in enumerate(records) if at % 2]
    await asyncio.gather(*(cell.commit([change]) for change in changes))
    server.kill()
    server.start()
    again = await cell_on(await open_store(), "shard-2").acquire("root", "r", "t")
    assert again.list(RESOURCE) == range_.list(RESOURCE)
    expected = range_.events_after(begin, RESOURCE)
    assert len(expected) == 90
    await again.backfilled(begin)
    assert list(again.events_after(begin, RESOURCE)) == list(expected)
    assert again.version >= range_.version


async def test_a_quiet_watch_asks_how_far_it_is(open_store: Open) -> None:
    store = await open_store(progress_seconds=0.02)
    if not reports_progress_on_request((await store._connection.link(asyncio.get_running_loop().time() + 5)).version):
        pytest.skip("this etcd's progress reports can not be trusted, so it is not asked")
    watch = store.watch(b"/quiet", b"/quiet0", from_revision=1)
    revision = await store.commit([], [Put(b"/elsewhere", b"")], [])
    async with asyncio.timeout(60), aclosing(watch):
        async for batch in watch:
            assert not batch.events
            if batch.revision == revision:
                if revision > 20:
                    break
                revision = await store.commit([], [Put(b"/elsewhere", b"")], [])


async def test_a_process_that_starts_waits_for_etcd(server: EtcdServer, proxy: Proxy) -> None:
    """It answers nothing for longer than a call takes at most."""
    proxy.mute = True
    settings = EtcdConfig((url(proxy),), deadline_seconds=0.3, dial_seconds=0.2, first_retry_seconds=0.01)
    opening = asyncio.create_task(EtcdStore.open(settings))
    _, waiting = await asyncio.wait({opening}, timeout=1.0)
    assert waiting
    proxy.mute = False
    proxy.cut()
    store = await opening
    await store.close()
