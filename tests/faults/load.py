"""Writers, readers and watchers, each of which does what its seed says: many clients that want the same few objects."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import aiohttp

from tests.faults.client import CONFIG_MAPS, NO_OUTCOME, Client, names, value_of
from tests.faults.log import HIDDEN, EventKind, Log, Opened, Operation, Watched, now

KEYS = 4
PAUSE_SECONDS = 0.05
"""Of each writer and reader, on average."""
HIDDEN_PAUSE_SECONDS = 0.3
RETRY_SECONDS = 0.1
PROBE_SECONDS = 0.05
PROBES_MAX = 300
ATTACKERS = 3
ATTACK_PAUSE_SECONDS = 0.02
STRAGGLERS_SECONDS = 1.0
"""For how long the end of a round waits for requests that are stuck; their outcomes stay unknown."""
WATCH_SECONDS = (3, 60)
GONE = 410


class Load:
    """Made, started, stopped. `ranges`: the clusters to use, by the names of their ranges. `view`: the path of a view that shows
    what is written and not hidden, after that of a range."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        gateways: Sequence[str],
        log: Log,
        ranges: Mapping[str, Sequence[str]],
        *,
        view: str,
        seed: str,
        prefix: str,
    ) -> None:
        self._session = session
        self._gateways = gateways
        self._log = log
        self._ranges = ranges
        self._clusters = [cluster for clusters in ranges.values() for cluster in clusters]
        self._view = view
        self._seed = seed
        self._prefix = prefix
        self._processes = count(1)
        self._busy: list[asyncio.Task[None]] = []
        self._extra: list[asyncio.Task[None]] = []
        self._streams: list[Stream] = []
        self._watching: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        """Returns when every cluster has answered a write, and every watch runs. Whoever waits bounds the wait."""
        for cluster in self._clusters:
            await self._insist(cluster)
        for name, clusters in self._ranges.items():
            self._watch(self.client(), f"/ranges/{name}/clusters/*/api/v1/configmaps", clusters)
            self._watch(self.viewer(name), "/clusters/*/api/v1/configmaps", clusters)
            for cluster in clusters:
                self._watch(self.client(), f"/clusters/{cluster}{CONFIG_MAPS}", [cluster])
        await asyncio.gather(*(stream.opened.wait() for stream in self._streams))
        for cluster in self._clusters:
            self._begin(self._writer, cluster)
            self._begin(self._writer, cluster)
            self._begin(self._reader, cluster)
        for name, clusters in self._ranges.items():
            for cluster in clusters:
                self._begin(self._reader, cluster, self.viewer(name))
                self._begin(self._hider, cluster)

    async def stop(self) -> None:
        """Ends writers and readers, then reads everything once more, then waits until every watch has told everything."""
        self._stopping = True
        await _ended([*self._busy, *self._extra], STRAGGLERS_SECONDS)
        client = self.client()
        newest = {}
        for cluster in self._clusters:
            listed = await self._until_ok(lambda cluster=cluster: client.list(cluster))
            newest[cluster] = max((item.version for item in listed.items), default=0)
            for name in [*names(self._prefix, KEYS), self._probed]:
                await self._until_ok(lambda cluster=cluster, name=name: client.get(cluster, name))
        for name, clusters in self._ranges.items():
            for cluster in clusters:
                await self.seen(name, cluster)
        # Something that each watch must still tell, after which there is nothing left to be told.
        for cluster in self._clusters:
            newest[cluster] = (await self._insist(cluster)).version
        try:
            async with asyncio.timeout(10.0):
                await asyncio.gather(*(stream.reached(newest) for stream in self._streams))
        except TimeoutError:
            # The checker tells which one is behind, and where.
            pass

    async def abandon(self) -> None:
        """Ends whatever runs."""
        self._stopping = True
        await _ended([*self._busy, *self._extra, *self._watching], 0.0)

    def client(self, url: str = "", *, shard: str = "") -> Client:
        """Somebody new. Without a URL it uses one of the gateways."""
        process = next(self._processes)
        return Client(
            self._session,
            url or self._gateways[process % len(self._gateways)],
            self._log,
            process=process,
            prefix=self._prefix,
            shard=shard,
        )

    def viewer(self, range_name: str, url: str = "") -> Client:
        """Somebody new who uses the view in a range. Without a URL it uses one of the gateways."""
        process = next(self._processes)
        url = f"{url or self._gateways[process % len(self._gateways)]}/ranges/{range_name}{self._view}"
        return Client(self._session, url, self._log, process=process, prefix=self._prefix, view=True)

    async def seen(self, range_name: str, cluster: str) -> Operation:
        """A list of a cluster by the view, once it is answered. Whoever waits bounds the wait."""
        viewer = self.viewer(range_name)
        return await self._until_ok(lambda: viewer.list(cluster))

    async def probe(self, cluster: str, since: float) -> float:
        """Seconds since a moment when a write of the cluster was answered that was sent after it. Whoever waits bounds the wait.

        New ones are sent all the time, as many clients would: one alone would wait for an owner that never answers.
        """
        client = self.client()
        answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        async def one() -> None:
            operation = await client.update(cluster, self._probed)
            if operation.outcome == "ok" and not answered.done():
                answered.set_result(operation.ended - since)

        for _ in range(PROBES_MAX):
            self._extra.append(asyncio.create_task(one()))
            await asyncio.wait([answered], timeout=PROBE_SECONDS)
            if answered.done():
                break
        return await answered

    def attack(self, cluster: str, url: str, shard: str, ended: asyncio.Event) -> None:
        """Asks a shard itself, past the gateways, as many gateways would whose map is old, until an event.

        Writers come so densely that some of their writes are always on the way from the shard to etcd, whatever stops it when.
        """
        for _ in range(ATTACKERS):
            for ask in (self._attack_reads, self._attack_writes):
                client = self.client(url, shard=shard)
                chance = random.Random(f"{self._seed} {client.process}")
                self._extra.append(asyncio.create_task(ask(client, cluster, chance, ended)))

    def attack_view(self, range_name: str, cluster: str, url: str, ended: asyncio.Event) -> None:
        """Asks a process of views itself, as a gateway would that does not know that it is away, until an event."""
        viewer = self.viewer(range_name, url)
        chance = random.Random(f"{self._seed} {viewer.process}")
        self._extra.append(asyncio.create_task(self._attack_reads(viewer, cluster, chance, ended)))

    async def _attack_reads(self, client: Client, cluster: str, chance: random.Random, ended: asyncio.Event) -> None:
        while not (ended.is_set() or self._stopping):
            if chance.random() < 0.2:
                await client.list(cluster)
            else:
                await client.get(cluster, chance.choice([self._probed, *names(self._prefix, KEYS)]))
            await asyncio.sleep(ATTACK_PAUSE_SECONDS * chance.random())

    async def _attack_writes(self, client: Client, cluster: str, chance: random.Random, ended: asyncio.Event) -> None:
        while not (ended.is_set() or self._stopping):
            await client.update(cluster, chance.choice([self._probed, *names(self._prefix, KEYS)]))
            await asyncio.sleep(ATTACK_PAUSE_SECONDS * chance.random())

    @property
    def _probed(self) -> str:
        return f"{self._prefix}probe"

    def _watch(self, client: Client, path: str, clusters: Sequence[str]) -> None:
        stream = Stream(client, len(self._streams), path, clusters, random.Random(f"{self._seed} stream {path}"))
        self._streams.append(stream)
        self._watching.append(asyncio.create_task(stream.run()))

    def _begin(self, work: Any, cluster: str, client: Client | None = None) -> None:
        client = client or self.client()
        self._busy.append(asyncio.create_task(work(client, cluster, random.Random(f"{self._seed} {client.process}"))))

    async def _writer(self, client: Client, cluster: str, chance: random.Random) -> None:
        known: dict[str, int] = {}
        while not self._stopping:
            name = chance.choice(names(self._prefix, KEYS))
            if name not in known:
                read = await client.get(cluster, name)
                if read.present is not None:
                    known[name] = read.version
            else:
                operation = await self._change(client, cluster, name, known[name], chance)
                if operation.outcome == "ok":
                    known[name] = operation.version
                else:
                    del known[name]
            await asyncio.sleep(chance.expovariate(1 / PAUSE_SECONDS))

    async def _change(self, client: Client, cluster: str, name: str, version: int, chance: random.Random) -> Operation:
        dice = chance.random()
        if not version or dice < 0.02:
            return await client.create(cluster, name)
        if dice < 0.15:
            return await client.delete(cluster, name, version)
        return await client.update(cluster, name, version if dice < 0.9 else 0)

    async def _reader(self, client: Client, cluster: str, chance: random.Random) -> None:
        while not self._stopping:
            if chance.random() < 0.25:
                await client.list(cluster)
            else:
                hidden = [f"{self._prefix}{HIDDEN}"] if client.view else []
                await client.get(cluster, chance.choice([*names(self._prefix, KEYS), *hidden]))
            await asyncio.sleep(chance.expovariate(1 / PAUSE_SECONDS))

    async def _hider(self, client: Client, cluster: str, chance: random.Random) -> None:
        """Writes what no view shows."""
        name = f"{self._prefix}{HIDDEN}"
        await client.create(cluster, name)
        while not self._stopping:
            await asyncio.sleep(chance.expovariate(1 / HIDDEN_PAUSE_SECONDS))
            await client.update(cluster, name)

    async def _insist(self, cluster: str) -> Operation:
        """Writes the probed object until that is answered."""
        client = self.client()
        exists = False
        while True:
            operation = await (client.update(cluster, self._probed) if exists else client.create(cluster, self._probed))
            if operation.outcome == "ok":
                return operation
            if operation.present is not None:
                exists = operation.present
            else:
                await asyncio.sleep(RETRY_SECONDS)

    async def _until_ok(self, ask: Any) -> Operation:
        while True:
            operation: Operation = await ask()
            if operation.outcome == "ok":
                return operation
            await asyncio.sleep(RETRY_SECONDS)


class Stream:
    """One watch, resumed at what it saw last whenever it ends, as client-go's reflector does it."""

    def __init__(self, client: Client, number: int, path: str, clusters: Sequence[str], chance: random.Random) -> None:
        self._client = client
        self._number = number
        self._path = path
        self._clusters = tuple(clusters)
        self._chance = chance
        self._version = 0
        self._newest: dict[str, int] = {}
        self._moved = asyncio.Event()
        self.opened = asyncio.Event()

    async def run(self) -> None:
        relist = False
        while True:
            try:
                if not self._version or relist:
                    relist = not await self._list(relist)
                if not relist:
                    relist = await self._follow()
            except NO_OUTCOME:
                # The connection is gone; what it told counts.
                pass
            await asyncio.sleep(RETRY_SECONDS * self._chance.random())

    async def reached(self, newest: Mapping[str, int]) -> None:
        """Returns when the watch told these versions of its clusters, or later ones."""
        while any(self._newest.get(cluster, 0) < newest[cluster] for cluster in self._clusters):
            self._moved.clear()
            await self._moved.wait()

    async def _list(self, again: bool) -> bool:
        # A list of one of the clusters has a version from which all of the range can be watched.
        listed = await self._client.list(self._clusters[0])
        if listed.outcome != "ok":
            return False
        self._version = listed.version
        if again:
            self._client.log.add(
                Opened(self._number, self._clusters, self._version, now(), relisted=True, view=self._client.view)
            )
        return True

    async def _follow(self) -> bool:
        """Until the stream ends; whether its version is too old."""
        log = self._client.log
        async with self._client.watch(self._path, self._version, self._chance.randint(*WATCH_SECONDS)) as (status, events):
            if status != 200:
                return status == GONE
            log.add(Opened(self._number, self._clusters, self._version, now(), view=self._client.view))
            self.opened.set()
            async for event in events:
                if event["type"] == "ERROR":
                    return bool(event["object"].get("code") == GONE)
                self._take(event["type"], event["object"])
        return False

    def _take(self, kind: EventKind, obj: Mapping[str, Any]) -> None:
        metadata = obj["metadata"]
        version = int(metadata["resourceVersion"])
        at = now()
        if kind == "BOOKMARK":
            self._client.log.add(Watched(self._number, at, kind, version))
        else:
            cluster, name = metadata["annotations"]["kcp.io/cluster"], metadata["name"]
            # A view that shows something of others is wrong, and that is for the checker to see.
            mine = cluster in self._clusters or self._client.view
            if mine and name.startswith(self._client.prefix) and metadata["namespace"] == "default":
                value, _ = value_of(obj.get("data", {}))
                self._client.log.add(Watched(self._number, at, kind, version, cluster, name, value))
                self._newest[cluster] = version
                self._moved.set()
        self._version = version


async def _ended(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    """Waits for their ends, and then brings those about. Raises what they raised."""
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
