"""The engines that the contract suite runs against. A new engine is one more entry of ENGINES."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenantry.storage.etcd import EtcdConfig, EtcdStore
from tenantry.storage.memory import MemoryStore
from tenantry.storage.sqlite import SqliteStore
from tenantry.storage.store import Batch, Event, KeyValue, LeaseGone, Put, Store
from tests.support.clock import Clock
from tests.support.etcd import EtcdServer


class Engine:
    """A store under test, with what a test may do to it from outside."""

    durable = False

    def __init__(self, directory: Path) -> None:
        self.clock = Clock(1000.0)
        self.store: Store
        self._leases: Any

    async def start(self) -> None:
        raise NotImplementedError

    async def advance(self, seconds: float) -> None:
        """Lets time pass and leases end."""
        raise NotImplementedError

    async def restart(self) -> None:
        await self.store.close()
        await self.start()

    async def stop(self) -> None:
        await self.store.close()


class MemoryEngine(Engine):
    async def start(self) -> None:
        self.store = self._leases = MemoryStore(cell=3, clock=self.clock)

    async def advance(self, seconds: float) -> None:
        self.clock.now += seconds
        await self._leases.expire_leases()


class SqliteEngine(Engine):
    durable = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory

    async def start(self) -> None:
        self.store = self._leases = await SqliteStore.open(self.directory, cell=3, clock=self.clock)

    async def advance(self, seconds: float) -> None:
        self.clock.now += seconds
        await self._leases.expire_leases()


class PatientLeases(EtcdStore):
    """etcd's clock can not be turned, so leases last an hour and are ended when the test's clock says so."""

    deadlines: dict[int, tuple[float, float]]
    clock: Clock

    async def grant_lease(self, ttl_seconds: float) -> int:
        lease = await super().grant_lease(3600)
        self.deadlines[lease] = (self.clock() + ttl_seconds, ttl_seconds)
        return lease

    async def keep_alive(self, lease: int) -> float:
        await super().keep_alive(lease)
        deadline, ttl_seconds = self.deadlines[lease]
        if deadline <= self.clock():
            raise LeaseGone(lease)
        self.deadlines[lease] = (self.clock() + ttl_seconds, ttl_seconds)
        return ttl_seconds

    async def expire_leases(self) -> None:
        for lease, (deadline, _) in list(self.deadlines.items()):
            if deadline <= self.clock():
                await self.revoke_lease(lease)
                del self.deadlines[lease]


class EtcdEngine(Engine):
    """A restart is kill -9 for the server. Leases get their whole time again, as etcd has it with a new leader."""

    durable = True

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.server = EtcdServer()
        self.server.start()
        self.deadlines: dict[int, tuple[float, float]] = {}
        self.begun = False

    async def start(self) -> None:
        settings = EtcdConfig(
            (self.server.url,),
            # That a machine lets a server wait is not what is tested.
            deadline_seconds=60.0,
            dial_seconds=20.0,
            commit_seconds=20.0,
            first_retry_seconds=0.01,
            last_retry_seconds=0.02,
        )
        store = await PatientLeases.open(settings, cell=3)
        assert isinstance(store, PatientLeases)
        self.store = self._leases = store
        store.clock = self.clock
        store.deadlines = self.deadlines = {
            lease: (self.clock() + ttl_seconds, ttl_seconds) for lease, (_, ttl_seconds) in self.deadlines.items()
        }
        if not self.begun:
            self.begun = True
            # etcd can not forget revision 1, which is empty, by itself: the tests begin where it has no part.
            for _ in range(10):
                await self.store.commit([], [Put(b"~", b"")], [])

    async def advance(self, seconds: float) -> None:
        self.clock.now += seconds
        await self._leases.expire_leases()

    async def restart(self) -> None:
        await self.store.close()
        self.server.kill()
        self.server.start()
        await self.start()

    async def stop(self) -> None:
        await self.store.close()
        self.server.stop()


ENGINES: dict[str, type[Engine]] = {"memory": MemoryEngine, "sqlite": SqliteEngine, "etcd": EtcdEngine}
DURABLE_ENGINES = sorted(name for name, engine in ENGINES.items() if engine.durable)


class Watch:
    """Reads a watch batch by batch."""

    def __init__(self, store: Store, start: bytes, end: bytes, from_revision: int) -> None:
        self._batches = store.watch(start, end, from_revision=from_revision)

    async def next(self) -> Batch:
        """The next batch that has events."""
        while True:
            batch = await anext(self._batches)
            if batch.events:
                return batch

    async def progress(self) -> tuple[list[Batch], int]:
        """What comes before the first progress report, and the revision that it reports."""
        found = []
        while (batch := await anext(self._batches)).events:
            found.append(batch)
        return found, batch.revision

    async def close(self) -> None:
        await self._batches.aclose()


def brief(kv: KeyValue | None) -> tuple[bytes, bytes, int] | None:
    return None if kv is None else (kv.key, kv.value, kv.mod_revision)


def brief_event(event: Event) -> tuple[bool, object, object]:
    return event.deleted, brief(event.kv), brief(event.previous)
