"""Who reaches whom is reported and followed; clocks are compared."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

import pytest

from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.http.messages import Reply, Response
from tenantry.http.upstream import Upstream
from tenantry.placement import reachability_probe
from tenantry.placement.map_rows import ReachRow, decode, encode, reach_key
from tenantry.placement.range_map import RangeMap
from tenantry.placement.reachability import CLOCK_WARNING_SECONDS, Reach
from tenantry.placement.reachability_probe import ReachProbe, chosen
from tenantry.placement.shard_connections import ShardConnections
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Put, Store
from tests.support.waiting import eventually

REASON = "refused by TLS: certificate is not yet valid"


async def report(store: Store, observer: str, **row: Any) -> None:
    await store.commit([], [Put(reach_key(observer), encode(ReachRow(observer, **{"clock_seconds": 0.0, **row})))], [])


@pytest.fixture
async def reach(store: Store) -> AsyncIterator[Reach]:
    found = Reach(store, own="me", wall=lambda: 1000.0)
    await found.start()
    yield found
    await found.stop()


@pytest.mark.parametrize(
    ("reports", "may_own"),
    [
        ({}, True),
        ({"a": "yes"}, True),
        ({"a": "no"}, False),
        ({"a": "yes", "b": "no"}, True),
        ({"a": "yes", "b": "no", "c": "no"}, False),
        ({"a": "yes", "b": "yes", "c": "no"}, True),
        ({"a": ""}, False),
        ({"a": "", "b": "yes"}, True),
        ({"a": "", "b": "no"}, False),
        ({"shard": "no"}, True),
        ({"shard": "yes", "a": "no"}, False),
    ],
)
async def test_more_must_reach_a_shard_than_do_not(reports: Mapping[str, str], may_own: bool) -> None:
    """What a shard says of itself does not count; who has not tried yet has no voice, but where there are only such, the answer
    is waited for."""
    store = MemoryStore()
    for observer, answer in reports.items():
        await report(
            store, observer, reached=["shard"] if answer == "yes" else [], unreached={"shard": REASON} if answer == "no" else {}
        )
    reach = Reach(store, own="me", wall=lambda: 1000.0)
    await reach.start()
    await eventually(lambda: len(reach._rows) == len(reports))
    why = reach.why_not("shard")
    await reach.stop()
    assert bool(why) is not may_own
    if "no" in [answer for observer, answer in reports.items() if observer != "shard"] and not may_own:
        assert REASON in why


async def test_reports_end_with_who_made_them(reach: Reach, store: Store) -> None:
    lease = await store.grant_lease(60)
    row = encode(ReachRow("gateway", 990.0, [], {"shard": REASON}))
    await store.commit([], [Put(reach_key("gateway"), row, 0, lease)], [])
    await eventually(lambda: reach.why_not("shard"))
    assert reach.clock_difference_seconds == 10.0
    await store.revoke_lease(lease)
    await eventually(lambda: not reach.why_not("shard"))
    assert reach.clock_difference_seconds == 0.0


async def test_clocks_are_compared(reach: Reach, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The median of the others counts, so one that is wrong alone does not; the quickest report of each is the truest."""
    with caplog.at_level(logging.WARNING):
        for observer, clock in (("a", 999.9), ("b", 1000.2), ("wrong", 5000.0), ("me", 0.0)):
            await report(store, observer, clock_seconds=clock)
        await eventually(lambda: len(reach._ahead) == 3)
        assert reach.clock_difference_seconds == pytest.approx(-0.2)
        await report(store, "a", clock_seconds=1000 - 2 * CLOCK_WARNING_SECONDS)
        await eventually(lambda: len(reach._ahead["a"]) == 2)
        assert reach.clock_difference_seconds == pytest.approx(-0.2), "that report was slow"
        assert "ahead" not in caplog.text
        for _ in range(4):
            for observer in ("a", "b"):
                await report(store, observer, clock_seconds=1000 - 2 * CLOCK_WARNING_SECONDS)
        await eventually(lambda: reach.clock_difference_seconds == pytest.approx(2 * CLOCK_WARNING_SECONDS))
    await eventually(lambda: "the clock differs from the clocks of the other processes: 10 s ahead" in caplog.text)


async def test_a_damaged_report_is_left_out(reach: Reach, store: Store) -> None:
    await report(store, "a", unreached={"shard": REASON})
    await eventually(lambda: reach.why_not("shard"))
    await store.commit([], [Put(reach_key("a"), b"{nonsense")], [])
    await eventually(lambda: not reach.why_not("shard"))


class Shards:
    """As much of the map and its owners as a probe looks at."""

    def __init__(self) -> None:
        self.upstreams: dict[str, Upstream] = {}
        self._subscribers: list[Callable[[], None]] = []

    def by_shard(self) -> Mapping[str, Upstream]:
        return self.upstreams

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def set(self, **urls: str) -> None:
        self.upstreams = {uid: self.upstreams.get(uid) or Upstream(url, None) for uid, url in urls.items()}
        for callback in self._subscribers:
            callback()


def probe_of(store: Store, shards: Shards, *, name: str = "gateway", **settings: Any) -> ReachProbe:
    return ReachProbe(store, cast(RangeMap, shards), cast(ShardConnections, shards), uid="prober", name=name, **settings)


async def answering(request: Request) -> Reply:
    return Response(503, b"starting")


async def test_a_probe_says_whom_it_reaches(store: Store, reach: Reach) -> None:
    """Any answer will do. A shard that does not answer is tried twice; one that is new is tried at once; and all ends with it."""
    edge = http_server(answering)
    there = f"http://127.0.0.1:{await edge.start('127.0.0.1', 0)}"
    shards = Shards()
    shards.set(well=there)
    probe = probe_of(store, shards, name="gateway one", interval_seconds=3600, retry_seconds=0.01, wall=lambda: 1234.5)
    probe.start()
    try:
        await eventually(lambda: "prober" in reach._rows)
        assert reach._rows["prober"] == ReachRow("gateway one", 1234.5, ["well"], {})
        shards.set(well=there, gone="http://127.0.0.1:1")
        assert not reach.why_not("well")
        await eventually(lambda: "cannot be reached" in reach.why_not("gone"))
        assert "1 of 1 gateways and shards do not reach it; gateway one: " in reach.why_not("gone")
        shards.set(well=there)
        await eventually(lambda: reach._rows["prober"].unreached == {})
    finally:
        await probe.stop()
        await edge.stop()
    await eventually(lambda: not reach._rows)


async def test_one_failure_is_not_reported(store: Store, reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network drops a packet now and then: the only gateway's report of a shard must not come and go with it."""
    answers = iter(["", "broken", "", "broken", "broken"])
    seen: list[str] = []

    async def answer(upstream: Upstream) -> str:
        return next(answers, "broken")

    monkeypatch.setattr(reachability_probe, "reaches", answer)
    shards = Shards()
    shards.set(shard="http://127.0.0.1:1")
    reach.subscribe(lambda: seen.append(reach.why_not("shard")))
    probe = probe_of(store, shards, interval_seconds=0.03, retry_seconds=0.001)
    probe.start()
    try:
        await eventually(lambda: "broken" in reach.why_not("shard"))
    finally:
        await probe.stop()
    assert seen[0] == ""
    assert [why for why in seen if why and "broken" not in why] == []


async def test_a_probe_goes_on_with_a_new_lease(store: Store, reach: Reach) -> None:
    shards = Shards()
    probe = probe_of(store, shards, interval_seconds=0.05, retry_seconds=0.01)
    probe.start()
    try:
        await eventually(lambda: "prober" in reach._rows)
        await store.revoke_lease(probe._lease)
        await eventually(lambda: "prober" not in reach._rows)
        shards.set(gone="http://127.0.0.1:1")
        await eventually(lambda: "prober" in reach._rows and "gone" in reach._rows["prober"].unreached)
    finally:
        await probe.stop()


def test_each_shard_is_tried_by_as_many_of_the_others() -> None:
    uids = {f"{number:03}": None for number in range(40)}
    tried: dict[str, int] = {}
    for uid in uids:
        mine = chosen(uids, uid, 8)
        assert uid not in mine
        assert len(set(mine)) == 8
        for other in mine:
            tried[other] = tried.get(other, 0) + 1
    assert set(tried.values()) == {8}
    assert chosen(uids, "", None) == sorted(uids)
    assert len(chosen(dict.fromkeys("abc"), "b", 8)) == 2


def test_rows_of_newer_versions_are_read() -> None:
    assert decode(b'{"name":"a","clock_seconds":1,"more":[]}', ReachRow) == ReachRow("a", 1.0)
