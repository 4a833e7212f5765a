import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from tenantry.apiserver import hub
from tenantry.apiserver.visibility import Visibility
from tenantry.base.time_slices import turns
from tenantry.kube.custom import definition_from_crd
from tenantry.storage.record import Record
from tests.apiserver.range_server import DEFINITIONS, RangeServer, cm, crd, thing
from tests.support.patience import PATIENCE_SECONDS
from tests.support.sinks import MemorySink
from tests.support.waiting import one_turn

CMS = "/api/v1/namespaces/default/configmaps"
THINGS = "/apis/test.example/v1/namespaces/default/things"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
WATCH_LIST = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


@pytest.fixture
async def filled(server: RangeServer) -> RangeServer:
    await server("POST", CMS, cm("a", labels={"p": "even"}))
    await server("POST", CMS, cm("b", labels={"p": "odd"}))
    return server


async def version(server: RangeServer) -> str:
    return (await server("GET", CMS)).rv


async def test_from_the_state_of_now(filled: RangeServer) -> None:
    for query in ("watch=true", "watch=1&resourceVersion=0", "watch=true&resourceVersion="):
        async with filled.watching(f"{CMS}?{query}") as sink:
            assert sink.short == [("ADDED", "a"), ("ADDED", "b")]
    assert filled.scope.hubs.of(filled.scope.range).watchers == 0


async def test_the_life_of_an_object(server: RangeServer) -> None:
    async with server.watching(CMS + "?watch=true") as sink:
        await server("POST", CMS, cm("x", {"v": "1"}, finalizers=["x.example/y"]))
        await server("PATCH", CMS + "/x", {"data": {"v": "2"}})
        await server("PATCH", CMS + "/x", {"data": {"v": "2"}})
        await server("POST", CMS + "?dryRun=All", cm("dry"))
        await server("DELETE", CMS + "/x")
        await server("PATCH", CMS + "/x", {"metadata": {"finalizers": None}})
        await sink.wait(4)
    assert [e["type"] for e in sink.events] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
    assert sink.events[-1]["object"]["data"] == {"v": "2"}
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in sink.events]
    assert versions == sorted(set(versions))
    assert sink.events[0]["object"]["kind"] == "ConfigMap"


async def test_history_is_sent_again(filled: RangeServer) -> None:
    before = await version(filled)
    await filled("PATCH", CMS + "/a", {"data": {"v": "2"}})
    await filled("DELETE", CMS + "/b")
    for _ in range(2):
        async with filled.watching(f"{CMS}?watch=true&resourceVersion={before}") as sink:
            await filled("POST", "/api/v1/namespaces/other/configmaps", cm("elsewhere"))
            assert sink.short == [("MODIFIED", "a"), ("DELETED", "b")]


async def test_selector_transitions(filled: RangeServer) -> None:
    since = await version(filled)

    async def changes() -> str:
        await filled("PATCH", CMS + "/a", {"metadata": {"labels": {"p": "odd"}}})
        out = (await filled("GET", CMS + "/a")).rv
        await filled("PATCH", CMS + "/a", {"data": {"outside": "1"}})
        await filled("PATCH", CMS + "/a", {"metadata": {"labels": {"p": "even"}}})
        await filled("PATCH", CMS + "/a", {"data": {"inside": "1"}})
        await filled("DELETE", CMS + "/b")
        await filled("DELETE", CMS + "/a")
        return out

    query = f"{CMS}?watch=true&labelSelector=p%3Deven&resourceVersion={since}"
    async with filled.watching(query) as live:
        out = await changes()
        await live.wait(4)
    async with filled.watching(query) as again:
        await again.wait(4)
    assert live.events == again.events
    assert live.short == [("DELETED", "a"), ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    gone = live.events[0]["object"]
    assert (gone["metadata"]["labels"], gone["metadata"]["resourceVersion"]) == ({"p": "even"}, out)


async def test_one_name(filled: RangeServer) -> None:
    async with filled.watching(CMS + "?watch=true&fieldSelector=metadata.name%3Dnamed") as sink:
        await filled("POST", CMS, cm("other"))
        await filled("POST", CMS, cm("named"))
        await filled("POST", "/api/v1/namespaces/other/configmaps", cm("named"))
        await filled("DELETE", CMS + "/named")
        await sink.wait(2)
    assert sink.short == [("ADDED", "named"), ("DELETED", "named")]


async def test_initial_events_and_their_marker(filled: RangeServer) -> None:
    async with filled.watching(f"{CMS}?{WATCH_LIST}") as sink:
        assert sink.short == [("ADDED", "a"), ("ADDED", "b"), ("BOOKMARK", "")]
        marker = sink.events[2]["object"]
        assert marker == {
            "kind": "ConfigMap",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": await version(filled), "annotations": {"k8s.io/initial-events-end": "true"}},
        }
        await filled("DELETE", CMS + "/a")
        await sink.wait(4)
    assert sink.short[3:] == [("DELETED", "a"), ("BOOKMARK", "")]


async def test_initial_events_without_bookmarks(filled: RangeServer) -> None:
    path = f"{CMS}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    async with filled.watching(path) as sink:
        assert sink.short == [("ADDED", "a"), ("ADDED", "b")]
    async with filled.watching(path.replace("InitialEvents=true", "InitialEvents=false")) as sink:
        assert sink.short == []


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("resourceVersion=abc", 500, 'resourceVersion: Invalid value: "abc": strconv.ParseUint: parsing "abc": invalid syntax'),
        ("timeoutSeconds=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("labelSelector=%21%21bad", 400, "unable to parse requirement: found '!', expected: identifier"),
        (
            "fieldSelector=spec.zzz%3D1",
            400,
            '"spec.zzz" is not a known field selector: only "metadata.name", "metadata.namespace"',
        ),
        (
            "sendInitialEvents=true",
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires setting '
            "resourceVersionMatch to NotOlderThan",
        ),
        (
            "resourceVersionMatch=NotOlderThan&resourceVersion=5",
            422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch '
            "unless sendInitialEvents is provided",
        ),
    ],
)
async def test_refused_before_the_first_byte(server: RangeServer, query: str, status: int, message: str) -> None:
    answer = await server("GET", f"{CMS}?watch=true&{query}")
    assert (answer.status, answer.message) == (status, message)


async def test_what_is_too_old_is_an_event(filled: RangeServer) -> None:
    long_ago = int(await version(filled)) - (1 << 20)
    for old in ("1", str(long_ago)):
        async with filled.watching(f"{CMS}?watch=true&resourceVersion={old}", accept=TABLE) as sink:
            await sink.wait(1)
        error = sink.events[0]
        assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert error["object"]["message"].startswith(f"too old resource version: {old} (")
        assert len(sink.events) == 1


async def test_from_the_future(filled: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.apiserver.verbs.resource_version_parameter.WAIT_SECONDS", 0.01)
    future = int(await version(filled)) + 128
    async with filled.watching(f"{CMS}?watch=true&resourceVersion={future}") as sink:
        await filled("POST", CMS, cm("c"))
        await filled("POST", CMS, cm("d"))
        await sink.wait(1)
    assert sink.short == [("ADDED", "d")]
    future = int(await version(filled)) + 1280
    async with filled.watching(f"{CMS}?{WATCH_LIST}&resourceVersion={future}") as sink:
        await sink.wait(1)
    assert sink.events[0]["object"]["message"].startswith(f"Timeout: Too large resource version: {future}, current: ")


async def test_the_end_of_a_watch(filled: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.apiserver.verbs.watch.default_timeout", lambda: 0.01)
    path = f"{CMS}?watch=true&resourceVersion={await version(filled)}"
    for bookmarks in ("", "&allowWatchBookmarks=true"):
        sink = MemorySink()
        stream = await filled.stream(path + bookmarks)
        await stream.run(sink)
        assert [e["type"] for e in sink.events] == (["BOOKMARK"] if bookmarks else [])


async def test_drain_ends_a_watch_with_a_bookmark(filled: RangeServer) -> None:
    async with filled.watching(f"{CMS}?watch=true&allowWatchBookmarks=true&resourceVersion={await version(filled)}") as sink:
        assert sink.events == []
    assert [e["type"] for e in sink.events] == ["BOOKMARK"]
    assert sink.events[0]["object"]["metadata"] == {"resourceVersion": await version(filled)}


async def test_the_hub_ends_the_watches_of_a_range(filled: RangeServer) -> None:
    stream = await filled.stream(f"{CMS}?watch=true&allowWatchBookmarks=true")
    sink = MemorySink()
    task = asyncio.ensure_future(stream.run(sink))
    await sink.wait(2)
    filled.scope.hubs.end(filled.scope.range)
    await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert sink.short == [("ADDED", "a"), ("ADDED", "b"), ("BOOKMARK", "")]


async def test_bookmarks_come_every_minute(filled: RangeServer) -> None:
    path = f"{CMS}?watch=true&allowWatchBookmarks=true&resourceVersion={await version(filled)}"
    watches = filled.scope.hubs.of(filled.scope.range)._bookmarks
    async with filled.watching(path) as sink, filled.watching(path.replace("allowWatch", "no")) as without:
        for _ in range(hub.BOOKMARK_SECONDS - 1):
            watches._tick()
        assert sink.events == []
        watches._tick()
        assert [e["type"] for e in sink.events] == ["BOOKMARK"]
        assert without.events == []
    assert watches._timer is None


async def test_watchers_with_the_same_wish_share_their_bytes(filled: RangeServer) -> None:
    path = f"{CMS}?watch=true&resourceVersion={await version(filled)}"
    async with filled.watching(path) as one, filled.watching(path) as two, filled.watching(path, accept=TABLE) as table:
        await filled("PATCH", CMS + "/a", {"data": {"v": "2"}})
        await two.wait(1)
        assert one.chunks[0] is two.chunks[0]
        assert table.events[0]["object"]["kind"] == "Table"


async def test_a_watcher_costs_the_task_of_its_request(filled: RangeServer) -> None:
    path = f"{CMS}?watch=true&allowWatchBookmarks=true&resourceVersion={await version(filled)}"
    before = len(asyncio.all_tasks())
    async with AsyncExitStack() as watches:
        sinks = [await watches.enter_async_context(filled.watching(path)) for _ in range(100)]
        await filled("PATCH", CMS + "/a", {"data": {"v": "2"}})
        for sink in sinks:
            await sink.wait(1)
        assert len(asyncio.all_tasks()) <= before + 100
    await one_turn()
    assert len(asyncio.all_tasks()) <= before


async def test_tables_have_columns_once(filled: RangeServer) -> None:
    path = f"{CMS}?{WATCH_LIST}"
    async with filled.watching(path, accept=TABLE) as early:
        await filled("POST", CMS, cm("c"))
        path = f"{CMS}?watch=true&allowWatchBookmarks=true&resourceVersion={await version(filled)}"
        async with filled.watching(path, accept=TABLE) as late:
            await filled("POST", CMS, cm("d"))
            await early.wait(5)
            await late.wait(1)
    columns = [bool(e["object"]["columnDefinitions"]) for e in early.events]
    assert columns == [True, False, False, False, False, False]
    assert [bool(e["object"]["columnDefinitions"]) for e in late.events] == [True, False]
    marker = early.events[2]["object"]["rows"][0]["object"]
    assert marker["kind"] == "PartialObjectMetadata"
    assert marker["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_partial_metadata(filled: RangeServer) -> None:
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    async with filled.watching(f"{CMS}?{WATCH_LIST}", accept=accept) as sink:
        await sink.wait(3)
    assert {e["object"]["kind"] for e in sink.events} == {"PartialObjectMetadata"}
    assert (await filled("GET", CMS + "?watch=true", accept="application/yaml")).status == 406


async def test_a_slow_watcher_is_dropped_alone(filled: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{CMS}?watch=true&resourceVersion={await version(filled)}"
    async with filled.watching(path) as slow, filled.watching(path) as quick:
        slow.buffered_bytes = slow.buffer_limit_bytes + 1
        await filled("PATCH", CMS + "/a", {"data": {"v": "2"}})
        await filled("PATCH", CMS + "/a", {"data": {"v": "3"}})
        await quick.wait(2)
        assert (slow.aborted, quick.aborted) == (True, False)
        assert len(slow.events) == 1


async def test_what_happens_during_the_initial_events_comes_after_them(
    filled: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenantry.apiserver.streams._CHUNK_BYTES", 1)
    monkeypatch.setattr(turns, "rest", one_turn)
    async with filled.watching(f"{CMS}?{WATCH_LIST}") as sink:
        assert sink.short == [("ADDED", "a")]
        await filled("PATCH", CMS + "/b", {"data": {"v": "2"}})
        await sink.wait(4)
        assert sink.short == [("ADDED", "a"), ("ADDED", "b"), ("BOOKMARK", ""), ("MODIFIED", "b")]
        marker, change = (int(e["object"]["metadata"]["resourceVersion"]) for e in sink.events[2:4])
        assert marker < change


async def test_a_client_that_does_not_read_its_initial_events_is_cut_off(
    filled: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenantry.apiserver.streams._CHUNK_BYTES", 1)
    monkeypatch.setattr("tenantry.apiserver.streams._INITIAL_SECONDS", 0.01)
    stream = await filled.stream(f"{CMS}?{WATCH_LIST}")
    sink = MemorySink()
    sink.buffered_bytes = sink.buffer_limit_bytes
    await asyncio.wait_for(stream.run(sink), PATIENCE_SECONDS)
    assert (sink.aborted, len(sink.events)) == (True, 1)


async def test_a_watch_ends_with_its_type(server: RangeServer) -> None:
    stream = await server.stream(THINGS + "?watch=true")
    sink = MemorySink()
    task = asyncio.ensure_future(stream.run(sink))
    await server("POST", THINGS, thing("t"))
    await sink.wait(1)
    same = server.thing
    server.scope.set_apis((*DEFINITIONS, same))
    await one_turn()
    assert not task.done()
    server.scope.set_apis(DEFINITIONS)
    await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert server.scope.listeners == []


async def test_a_watch_ends_with_its_schema(server: RangeServer) -> None:
    stream = await server.stream(THINGS + "?watch=true")
    task = asyncio.ensure_future(stream.run(MemorySink()))
    await one_turn()
    server.scope.set_apis((*DEFINITIONS, definition_from_crd(crd({"a": {"type": "string"}}))))
    await asyncio.wait_for(task, PATIENCE_SECONDS)


class Changing:
    adds = True
    in_slices = False
    key = None

    def __init__(self, *names: str) -> None:
        self.names = set(names)
        self.listeners: list[Callable[[], None]] = []

    def sees(self, record: Record) -> bool:
        return record.key.name in self.names

    def at(self, version: int) -> Visibility:
        return self

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        self.listeners.append(changed)
        return lambda: self.listeners.remove(changed)

    def change(self, *names: str) -> None:
        self.names = set(names)
        for listener in self.listeners:
            listener()


async def test_visibility_that_changes(filled: RangeServer) -> None:
    visibility = filled.scope.seen = Changing("a")
    async with filled.watching(CMS + "?watch=true") as sink:
        assert sink.short == [("ADDED", "a")]
        visibility.names = {"a", "c"}
        await filled("POST", CMS, cm("c"))
        visibility.change("b", "c")
        await sink.wait(4)
        assert sink.short[1:] == [("ADDED", "c"), ("DELETED", "a"), ("ADDED", "b")]
        await filled("PATCH", CMS + "/c", {"data": {"v": "1"}})
        visibility.names = {"b"}
        # The watch keeps its visibility; the write is somebody's who sees everything.
        filled.scope.seen = None
        await filled("PATCH", CMS + "/c", {"data": {"v": "2"}})
        await sink.wait(6)
        assert sink.short[4:] == [("MODIFIED", "c"), ("DELETED", "c")]
    assert visibility.listeners == []


async def test_resuming_with_visibility(filled: RangeServer) -> None:
    since = await version(filled)
    filled.scope.seen = Changing("a")
    for name in ("a", "b"):
        filled.scope.seen.names.add(name)
        await filled("PATCH", f"{CMS}/{name}", {"data": {"v": "1"}})
    async with filled.watching(f"{CMS}?watch=true&resourceVersion={since}") as sink:
        assert sink.short == [("MODIFIED", "a"), ("MODIFIED", "b")]


async def test_a_wildcard_sees_every_cluster(filled: RangeServer) -> None:
    filled.scope.cluster = None
    async with filled.watching("/api/v1/configmaps?watch=true") as sink:
        filled.scope.cluster = "rabcdefghijklmno"
        await filled("POST", CMS, cm("a"))
        await sink.wait(3)
    clusters = [e["object"]["metadata"]["annotations"]["kcp.io/cluster"] for e in sink.events]
    assert clusters == ["root", "root", "rabcdefghijklmno"]


async def test_a_watch_that_comes_to_a_lost_range_ends_at_once(filled: RangeServer) -> None:
    """It was let in before the range was lost, and joins after everybody else was sent away."""
    stream = await filled.stream(f"{CMS}?watch=true&allowWatchBookmarks=true")
    range_ = filled.scope.range
    range_.freeze()
    filled.scope.hubs.end(range_)
    sink = MemorySink()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await stream.run(sink)
    assert [kind for kind, _ in sink.short] == ["ADDED", "ADDED", "BOOKMARK"]
    assert filled.scope.hubs.of(range_).watchers == 0
