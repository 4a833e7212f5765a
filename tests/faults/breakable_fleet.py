"""A fleet as the rounds use it: never blocking the loop, and with a list of who can be broken now."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from tenantry.storage.etcd.config import EtcdConfig
from tenantry.storage.etcd.store import EtcdStore
from tenantry.storage.keys import ELECTION
from tenantry.storage.store import Event
from tests.e2e.provider import Provider, answer, claim, schema
from tests.faults.client import SHOWN
from tests.faults.record import ALL, present_revision
from tests.support.api import Api
from tests.support.fleet import Ended, Fleet, Process, Shard
from tests.support.pace import session_ttl
from tests.support.waiting import eventually, eventually_answers
from tools.spawning import Spawn

TENANTS = 6
STARTS_MAX = 3
RESTARTS_MAX = 4
RECOVERY_SECONDS_MAX = 180.0


class BreakableFleet:
    """Two registries, two gateways, three shards, two processes of views, and tenants that have a range each. Made by `start`,
    ended by `stop`.

    `view`: the path of a view of the ConfigMaps of all tenants that have the label `SHOWN`, after that of a range.
    """

    def __init__(self, fleet: Fleet, store: EtcdStore, view: str, tenants: Sequence[str]) -> None:
        self.fleet = fleet
        self.store = store
        self.view = view
        self._tenants = tenants
        self._mending: dict[Process, asyncio.Task[None]] = {}
        self._broken: set[Process] = set()

    @classmethod
    async def start(cls, spawn: Spawn) -> BreakableFleet:
        for attempt in range(STARTS_MAX):
            ttl = await asyncio.to_thread(session_ttl, 5.0)
            flags = {"registry": ("--range-capacity", "1"), "shard": ttl, "views": ("--only", "apiexport", *ttl)}
            fleet = Fleet(registries=2, gateways=2, shards=3, views=2, flags=flags, spawn=spawn)
            try:
                await asyncio.to_thread(fleet.__enter__)
            except (AssertionError, Ended):
                # A port was taken by somebody else between its choice and its use.
                if attempt == STARTS_MAX - 1:
                    raise
                continue
            break
        try:
            view, tenants = await asyncio.to_thread(_tenants, fleet.root)
            return cls(fleet, await EtcdStore.open(EtcdConfig((fleet.etcd.url,))), view, tenants)
        except BaseException:
            await asyncio.to_thread(fleet.close)
            raise

    async def stop(self) -> None:
        await asyncio.gather(*self._mending.values(), return_exceptions=True)
        await self.store.close()
        for process in self.fleet.processes:
            if process.running:
                process.thaw()
        await asyncio.to_thread(self.fleet.close)

    def keep_logs(self, folder: Path) -> None:
        for path in [*self.fleet.folder.glob("*.log"), self.fleet.etcd.log]:
            shutil.copy(path, folder)

    @property
    def ranges(self) -> Mapping[str, Sequence[str]]:
        """The tenants, by the names of their ranges."""
        found: dict[str, list[str]] = {}
        for tenant in self._tenants:
            found.setdefault(self.fleet.range_of(tenant).name, []).append(tenant)
        return found

    def owner_of(self, range_name: str) -> str:
        """A shard's uid."""
        return next(info.owner for info in self.fleet.ranges() if info.name == range_name)

    async def some_owner(self, chance: random.Random) -> tuple[Shard, Mapping[str, str]]:
        """A shard that lives and has ranges of tenants, for the caller to break; and a tenant of each of its ranges."""

        def look() -> list[tuple[Shard, dict[str, str]]]:
            found = []
            for _, shard in sorted(self.fleet.shards.items()):
                owned = set(self.fleet.owned_by(shard))
                tenants = {name: clusters[0] for name, clusters in self.ranges.items() if name in owned}
                if tenants and shard not in self._mending and shard not in self._broken:
                    found.append((shard, tenants))
            return found

        candidates = await eventually(look, RECOVERY_SECONDS_MAX, "a shard that owns tenants")
        shard, tenants = chance.choice(candidates)
        self._broken.add(shard)
        return shard, tenants

    def some_views(self, chance: random.Random) -> Process:
        """A process of views, for the caller to break."""
        process = chance.choice([each for each in self.fleet.views if each not in self._mending and each not in self._broken])
        self._broken.add(process)
        return process

    async def leader(self) -> Process:
        """The registry that leads."""
        key = f"{ELECTION}registry".encode()

        async def look() -> Process | None:
            page = await self.store.read(key, key + b"\0")
            identity = page.kvs[0].value.decode() if page.kvs else "(nobody)"
            return next((process for process in self.fleet.registries if process.running and identity in process.text()), None)

        found = await eventually_answers(look)
        assert found is not None
        return found

    async def watch(self, wanted: Callable[[Event], bool]) -> Callable[[], Awaitable[None]]:
        """From now on. What it returns waits until there is such an event in etcd."""
        since = await present_revision(self.store) + 1

        async def seen() -> None:
            async with aclosing(self.store.watch(*ALL, from_revision=since)) as batches:
                async for batch in batches:
                    if any(wanted(event) for event in batch.events):
                        return

        return seen

    def lives(self, shard: Shard) -> bool:
        return any(info.name == shard.name for info in self.fleet.living())

    def mend(self, process: Process) -> None:
        """Starts one again that has ended; the rest goes on meanwhile."""

        async def restart() -> None:
            # Started while etcd is away it ends, and says why. Whoever runs it starts it again.
            for attempt in range(RESTARTS_MAX):
                try:
                    await asyncio.to_thread(self.fleet.restart, process)
                    break
                except AssertionError:
                    if process.running or attempt == RESTARTS_MAX - 1:
                        raise
            if isinstance(process, Shard):
                await eventually(lambda: self.lives(process), RECOVERY_SECONDS_MAX, f"{process.name} lives again")
            self._mending.pop(process, None)

        self._broken.discard(process)
        self._mending[process] = asyncio.create_task(restart())

    def mended(self, process: Process) -> None:
        """One that was broken but has not ended is whole again."""
        self._broken.discard(process)

    async def whole(self) -> None:
        """Returns when every range is owned, and enough is there to be broken again. Raises TimeoutError, AssertionError."""

        def look() -> bool:
            for process, task in list(self._mending.items()):
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise AssertionError(f"{process.name} does not come back") from error
            shards = [shard for shard in self.fleet.shards.values() if shard not in self._mending]
            registries = [registry for registry in self.fleet.registries if registry not in self._mending]
            views = [process for process in self.fleet.views if process not in self._mending]
            owned = all(info.shard and not info.target for info in self.fleet.ranges())
            enough = len(shards) >= 2 and len(registries) >= 2 and len(views) >= 2
            return owned and enough and all(map(self.lives, shards))

        await eventually(look, RECOVERY_SECONDS_MAX, f"every range is owned: {self.fleet.ranges()}, {self.fleet.living()}")


def _tenants(root: Api) -> tuple[str, Sequence[str]]:
    """The path of the view, and the ids of new workspaces that share what has the label with its owner."""
    shared = claim("", "configmaps")
    provider = Provider.install(root.workspace("provider"), schema(), permissionClaims=[shared])
    tenants = [provider.bind(root.workspace(f"tenant-{number}"), answer(shared, matchLabels=SHOWN)) for number in range(TENANTS)]
    return f"/services/apiexport/{provider.api.name}/{provider.name}", [tenant.name for tenant in tenants]
