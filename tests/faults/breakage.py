"""The ways in which a round breaks a platform, and mends it."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from tenantry.placement.map_rows import RangeRow, decode
from tenantry.storage.keys import RANGES, SESSIONS
from tenantry.storage.store import Event
from tests.faults.breakable_fleet import RECOVERY_SECONDS_MAX, BreakableFleet
from tests.faults.load import Load
from tests.faults.log import Fault, Log, TakenOver, now
from tests.support.fleet import Process, Shard
from tests.support.waiting import eventually

LONG_OUTAGE_SECONDS = 10.0
SHORT_OUTAGE_SECONDS = (0.3, 3.0)
LINGER_SECONDS = 1.0
"""At most, after the take-over, until an owner that was away comes back."""
RUN_UP_SECONDS = (0.1, 0.3)
ATTACK_SECONDS = 0.7
"""How long one that came back is asked past the gateways."""


@dataclass(frozen=True, slots=True)
class Round:
    """What a fault has to do with. `together`: others are at work at the same time, so that its take-overs are counted apart."""

    platform: BreakableFleet
    load: Load
    log: Log
    chance: random.Random
    together: bool = False

    async def taken_over(self, fault: str, tenants: Mapping[str, str], since: float) -> None:
        """Waits until each range answers a write that was sent after a moment. `tenants`: one of each range.

        Raises AssertionError.
        """

        async def one(name: str, tenant: str) -> None:
            seconds = await self.load.probe(tenant, since)
            self.log.add(TakenOver(name, f"{fault}, with another fault" if self.together else fault, seconds))

        try:
            async with asyncio.timeout(RECOVERY_SECONDS_MAX):
                await asyncio.gather(*(one(*pair) for pair in tenants.items()))
        except TimeoutError:
            raise AssertionError(f"after {fault}, not all of {sorted(tenants)} were taken over") from None

    async def shown_again(self, fault: str, since: float) -> None:
        """Waits until the view answers in each range a read that was sent after a moment. Raises AssertionError."""

        async def one(name: str, tenant: str) -> None:
            await self.load.seen(name, tenant)
            self.log.add(TakenOver(name, fault, now() - since))

        try:
            async with asyncio.timeout(RECOVERY_SECONDS_MAX):
                await asyncio.gather(*(one(name, clusters[0]) for name, clusters in self.platform.ranges.items()))
        except TimeoutError:
            raise AssertionError(f"after {fault}, the view does not answer") from None

    async def attack(self, shard: Shard, tenants: Mapping[str, str]) -> asyncio.Event:
        """Asks a shard itself for its tenants, until the event that is returned. Returns when that goes on for a while."""
        ended = asyncio.Event()
        uid = next((info.uid for info in self.platform.fleet.living() if info.name == shard.name), shard.name)
        for tenant in tenants.values():
            self.load.attack(tenant, shard.url, uid, ended)
        await asyncio.sleep(self.chance.uniform(*RUN_UP_SECONDS))
        return ended

    async def attack_views(self, process: Process) -> asyncio.Event:
        """Asks a process of views itself for all ranges, until the event that is returned. Returns when that goes on for a
        while."""
        ended = asyncio.Event()
        url = (await asyncio.to_thread(process.ready)).rsplit(" ", 1)[1]
        for name, clusters in self.platform.ranges.items():
            self.load.attack_view(name, clusters[0], url, ended)
        await asyncio.sleep(self.chance.uniform(*RUN_UP_SECONDS))
        return ended

    async def linger(self, seconds: float) -> None:
        await asyncio.sleep(self.chance.uniform(0, seconds))


async def kill_owner(round_: Round) -> None:
    """kill -9: its lease has to end first."""
    shard, tenants = await round_.platform.some_owner(round_.chance)
    began = now()
    shard.kill()
    await round_.taken_over("kill owner", tenants, began)
    round_.platform.mend(shard)
    round_.log.add(Fault("kill owner", shard.name, began, now()))


async def retire_owner(round_: Round) -> None:
    """SIGTERM: it hands its ranges over, and ends by itself."""
    shard, tenants = await round_.platform.some_owner(round_.chance)
    began = now()
    shard.signal(signal.SIGTERM)
    code = await asyncio.to_thread(shard.wait)
    assert code == 0, f"{shard.name} ended with {code}"
    await round_.taken_over("retire owner", tenants, began)
    round_.platform.mend(shard)
    round_.log.add(Fault("retire owner", shard.name, began, now()))


async def freeze_owner(round_: Round) -> None:
    """SIGSTOP until others own its ranges, then SIGCONT: it finds requests that were sent to it meanwhile."""
    shard, tenants = await round_.platform.some_owner(round_.chance)
    ended = await round_.attack(shard, tenants)
    began = now()
    shard.freeze()
    try:
        await round_.taken_over("freeze owner", tenants, began)
        await round_.linger(LINGER_SECONDS)
    finally:
        shard.thaw()
    await _back(round_, shard, ended)
    round_.log.add(Fault("freeze owner", shard.name, began, now()))


async def cut_owner(round_: Round) -> None:
    """Nothing passes between it and etcd until others own its ranges; clients reach it all the time."""
    shard, tenants = await round_.platform.some_owner(round_.chance)
    ended = await round_.attack(shard, tenants)
    began = now()
    await asyncio.to_thread(shard.link.cut)
    try:
        await round_.taken_over("cut owner", tenants, began)
        await round_.linger(LINGER_SECONDS)
    finally:
        await asyncio.to_thread(shard.link.heal)
    await _back(round_, shard, ended)
    round_.log.add(Fault("cut owner", shard.name, began, now()))


async def stop_etcd(round_: Round, seconds: float = 0.0) -> None:
    """kill -9 for everybody's store, and a start some time later: what was acknowledged is on its disk."""
    etcd = round_.platform.fleet.etcd
    began = now()
    etcd.kill()
    await asyncio.sleep(seconds or round_.chance.uniform(*SHORT_OUTAGE_SECONDS))
    etcd.start()
    back = now()
    await round_.taken_over("etcd's return", {name: clusters[0] for name, clusters in round_.platform.ranges.items()}, back)
    round_.log.add(Fault("stop etcd", f"{back - began:.1f} s", began, now()))


async def stop_etcd_long(round_: Round) -> None:
    await stop_etcd(round_, LONG_OUTAGE_SECONDS)


async def kill_leader(round_: Round) -> None:
    """kill -9 for the leading registry, at the moment when it has to assign a dead shard's ranges."""
    shard, tenants = await round_.platform.some_owner(round_.chance)
    leader = await round_.platform.leader()
    seen = await round_.platform.watch(lambda event: event.deleted and event.kv.key.startswith(SESSIONS.encode()))
    began = now()
    shard.kill()
    await seen()
    await round_.linger(0.02)
    leader.kill()
    round_.platform.mend(leader)
    await round_.taken_over("kill owner, then leader", tenants, began)
    round_.platform.mend(shard)
    round_.log.add(Fault("kill leader in assignment", leader.name, began, now()))


async def kill_leader_in_move(round_: Round) -> None:
    """The same while it moves ranges away from a shard that leaves."""
    shard, tenants = await round_.platform.some_owner(round_.chance)
    leader = await round_.platform.leader()
    seen = await round_.platform.watch(_begins_move)
    began = now()
    shard.signal(signal.SIGTERM)
    await seen()
    await round_.linger(0.02)
    leader.kill()
    round_.platform.mend(leader)
    code = await asyncio.to_thread(shard.wait)
    assert code == 0, f"{shard.name} ended with {code}"
    await round_.taken_over("retire owner, kill leader", tenants, began)
    round_.platform.mend(shard)
    round_.log.add(Fault("kill leader in move", leader.name, began, now()))


async def kill_views(round_: Round) -> None:
    """kill -9 for a process of views: another one takes its ranges when its session has ended."""
    process = round_.platform.some_views(round_.chance)
    began = now()
    process.kill()
    await round_.shown_again("kill views", began)
    round_.platform.mend(process)
    round_.log.add(Fault("kill views", process.name, began, now()))


async def freeze_views(round_: Round) -> None:
    """SIGSTOP until another process shows its ranges, then SIGCONT: it finds requests that were sent to it meanwhile."""
    process = round_.platform.some_views(round_.chance)
    ended = await round_.attack_views(process)
    began = now()
    process.freeze()
    try:
        await round_.shown_again("freeze views", began)
        await round_.linger(LINGER_SECONDS)
    finally:
        process.thaw()
    await asyncio.sleep(ATTACK_SECONDS)
    ended.set()
    round_.platform.mended(process)
    round_.log.add(Fault("freeze views", process.name, began, now()))


async def cut_views(round_: Round) -> None:
    """Nothing passes between it and etcd until another process shows its ranges; gateways and clients reach it all the time."""
    process = round_.platform.some_views(round_.chance)
    ended = await round_.attack_views(process)
    began = now()
    await asyncio.to_thread(process.link.cut)
    try:
        await round_.shown_again("cut views", began)
        await round_.linger(LINGER_SECONDS)
    finally:
        await asyncio.to_thread(process.link.heal)
    await asyncio.sleep(ATTACK_SECONDS)
    ended.set()
    round_.platform.mended(process)
    round_.log.add(Fault("cut views", process.name, began, now()))


async def several(round_: Round) -> None:
    """Two at once, of different owners."""
    first, second = round_.chance.sample(ALONE, 2)
    both = replace(round_, together=True)
    await asyncio.gather(first(both), second(both))


def _begins_move(event: Event) -> bool:
    if event.deleted or not event.kv.key.startswith(RANGES.encode()):
        return False
    return bool(decode(event.kv.value, RangeRow).target)


async def _back(round_: Round, shard: Shard, ended: asyncio.Event) -> None:
    """An owner that was away is part of the platform again."""
    await asyncio.sleep(ATTACK_SECONDS)
    await eventually(lambda: round_.platform.lives(shard), RECOVERY_SECONDS_MAX, f"{shard.name} lives again")
    ended.set()
    round_.platform.mended(shard)


ALONE: tuple[Callable[[Round], Awaitable[None]], ...] = (kill_owner, retire_owner, freeze_owner, cut_owner, stop_etcd)
OF_VIEWS: tuple[Callable[[Round], Awaitable[None]], ...] = (kill_views, freeze_views, cut_views)
ALL: tuple[Callable[[Round], Awaitable[None]], ...] = (
    *(*ALONE, kill_leader, kill_leader_in_move, freeze_owner, cut_owner, several),
    *OF_VIEWS,
)
LONG_EVERY = 25


def fault_of(seed: str, number: int) -> Callable[[Round], Awaitable[None]]:
    """What a round breaks: each of `ALL` once in as many rounds, in an order of the seed's, and now and then the long outage."""
    if number % LONG_EVERY == LONG_EVERY // 2:
        return stop_etcd_long
    order = list(ALL)
    random.Random(f"{seed} {number // len(ALL)}").shuffle(order)
    return order[number % len(ALL)]
