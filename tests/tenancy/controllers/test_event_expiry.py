"""Events and their hour, on a clock of the test's."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from tenantry.kube.objects import Object
from tenantry.tenancy.controllers.event_expiry import LIFETIME_SECONDS, SWEEP_SECONDS, EventExpiry
from tenantry.tenancy.resources import EVENTS
from tests.support.clusters import CLUSTER, ServedCluster, config_map


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, now: float) -> None:
        self.time = now
        self.slept: list[float] = []
        self._tick = asyncio.Event()

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self._tick.wait()
        self._tick.clear()

    def pass_by(self, seconds: float) -> None:
        self.time += seconds
        self._tick.set()


def event(name: str, **more: Any) -> Object:
    about = {"kind": "ConfigMap", "namespace": "default", "name": "x"}
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": about, "reason": "R", **more}


async def test_events_go_an_hour_after_they_were_last_written() -> None:
    async with ServedCluster() as shard:
        clock = Clock(1_000_000.0)
        expiry = EventExpiry(cell=shard.cell, local_ranges=shard.tenancy.local_ranges, now=clock.now, sleep=clock.sleep)
        expiry.start()
        await shard.post("events", event("old"))
        await shard.post("events", event("renewed"))
        await shard.post("configmaps", config_map("no-event"))
        clock.pass_by(LIFETIME_SECONDS - 1)
        await shard.patch("events", "renewed", {"count": 2})
        await shard.post("events", event("young"))
        await shard.idle()
        assert shard.find("events", "old") is not None
        clock.pass_by(SWEEP_SECONDS)
        await shard.gone("events", "old")
        assert shard.find("events", "renewed") is not None
        assert shard.find("events", "young") is not None
        clock.pass_by(LIFETIME_SECONDS)
        await shard.gone("events", "renewed")
        await shard.gone("events", "young")
        assert set(clock.slept) == {SWEEP_SECONDS}
        assert shard.find("configmaps", "no-event") is not None
        await expiry.stop()


async def test_many_go_in_one_sweep_and_old_ones_are_known_after_a_restart() -> None:
    async with ServedCluster() as shard:
        for number in range(120):
            await shard.post("events", event(f"e{number}", lastTimestamp="2020-01-01T00:00:00Z"))
        written = shard.find("events", "e0")
        assert written is not None
        clock = Clock(datetime.fromisoformat(written["metadata"]["creationTimestamp"]).timestamp())
        expiry = EventExpiry(cell=shard.cell, local_ranges=shard.tenancy.local_ranges, now=clock.now, sleep=clock.sleep)
        expiry.start()
        clock.pass_by(1)
        # On a busy machine it takes several turns to look at them all.
        await shard.idle(lambda: len(clock.slept) == 2 and len(expiry._writes["root"]._second_of) == 120)
        assert shard.cell.range_of(CLUSTER).count(EVENTS, CLUSTER) == 120
        clock.pass_by(LIFETIME_SECONDS + 10)
        await shard.idle(lambda: len(clock.slept) == 3)
        assert shard.cell.range_of(CLUSTER).count(EVENTS, CLUSTER) == 0
        await expiry.stop()
