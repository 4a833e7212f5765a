"""A platform of real processes on this machine: etcd, registries, gateways, shards and views, each of which a test can stop,
freeze, kill, cut off from etcd, and start again."""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from tenantry.placement.map import RangeInfo, ShardInfo
from tenantry.placement.range_map import RangeMap
from tenantry.storage.etcd.config import EtcdConfig
from tenantry.storage.etcd.store import EtcdStore
from tests.support.api import Api
from tests.support.commands import tenantry
from tests.support.etcd import TOGETHER, EtcdServer
from tests.support.links import Background, Link
from tests.support.patience import PATIENCE_SECONDS
from tests.support.running import Running
from tests.support.waiting import wait_for
from tools.child import Child, token_in
from tools.ports import free_port
from tools.spawning import Spawn, executed, forked

START_SECONDS_MAX = 180.0


class Ended(Exception):
    """A process that was to serve has ended; the text has its log."""


class Process(Child):
    """One process of the platform: `tenantry <arguments>`. What it prints and logs is in `log`."""

    link: Link
    """Its way to etcd, where the platform was made with `links`."""

    def __init__(self, name: str, folder: Path, etcd_port: int, *arguments: str, spawn: Spawn = executed) -> None:
        super().__init__(name, folder / f"{name}.log")
        self.etcd_url = f"http://127.0.0.1:{etcd_port}"
        self._arguments = arguments
        self._spawn = spawn
        self._log_start = 0
        self.metrics_url = ""
        """Of its metrics, without authentication; empty where the process was told another port."""

    def __repr__(self) -> str:
        return f"<Process {self.name} {'up' if self.running else 'down'}>"

    def start(self) -> None:
        """Returns at once; `ready` waits."""
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._spawn([*self._arguments, "--etcd-servers", self.etcd_url], self.log, self.log)

    def ready(self, seconds: float = START_SECONDS_MAX) -> str:
        """Waits until it says that it serves; the line."""

        def said() -> str:
            if not self.running:
                raise Ended(f"{self.name} ended: {self.text()[-3000:]}")
            return next((line for line in self.text().splitlines() if line.startswith("tenantry ") and " serves " in line), "")

        return wait_for(said, f"{self.name} serves; its log:\n{self.text()[-3000:]}", seconds)

    def text(self) -> str:
        """What it wrote since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def freeze(self) -> None:
        """SIGSTOP: it does nothing, and does not notice."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)


class Shard(Process):
    """A shard. `url` is where gateways and peers reach it."""

    url = ""

    def ready(self, seconds: float = START_SECONDS_MAX) -> str:
        line = super().ready(seconds)
        self.url = line.rsplit(" ", 1)[1]
        return line


class Fleet(Running):
    """The platform. A context manager: everything in it has ended, and its files are gone, when it is left.

    `flags`: by kind (`registry`, `gateway`, `shard`, `views`), further arguments for each process of that kind. `links`: each
    process reaches etcd through a link of its own, which a test can cut. `spawn`: how its processes start.
    """

    def __init__(
        self,
        *,
        registries: int = 1,
        gateways: int = 1,
        shards: int = 1,
        views: int = 0,
        flags: Mapping[str, Sequence[str]] | None = None,
        etcd: EtcdServer | None = None,
        links: bool = True,
        spawn: Spawn = forked,
    ) -> None:
        self._linked = links
        self._spawn = spawn
        self._flags = dict(flags or {})
        self._folder = tempfile.TemporaryDirectory(prefix="fleet-")
        self.folder = Path(self._folder.name)
        self._background = Background()
        self._links: list[Link] = []
        # A member that ticks a hundred times a second takes a tenth of a small machine, all the time.
        self.etcd = etcd or EtcdServer(extra=TOGETHER)
        self.registries: list[Process] = []
        self.gateways: list[Process] = []
        self.shards: dict[str, Shard] = {}
        self.views: list[Process] = []
        self._counts = (registries, gateways, shards, views)
        self._ports = [free_port() for _ in range(gateways)]
        self._registry_ports = [free_port() for _ in range(registries)]
        self._lookup_ports = [free_port() for _ in range(gateways)]
        self._store: EtcdStore | None = None
        self._map: RangeMap | None = None

    def start(self) -> Fleet:
        """Starts everything at once, in no order, and waits until all serve."""
        self.etcd.start()
        registries, gateways, shards, views = self._counts
        for number in range(registries):
            port = ("--registry-port", str(self._registry_ports[number]))
            self.registries.append(self._started(Process, "registry", f"registry-{number + 1}", *port))
        for number in range(gateways):
            access = self.folder / f"access-{number + 1}"
            self.gateways.append(
                self._started(
                    Process,
                    "gateway",
                    f"gateway-{number + 1}",
                    *("--secure-port", str(self._ports[number]), "--gateway-port", str(self._lookup_ports[number])),
                    *("--external-url", self.url, "--access-directory", str(access)),
                )
            )
        for number in range(shards):
            self.add_shard(f"shard-{number + 1}", wait=False)
        for number in range(views):
            self.add_views(f"views-{number + 1}", wait=False)
        for process in self.processes:
            process.ready()
        self._background.run(self._follow())
        made = tenantry("kubeconfig", "--etcd-servers", self.etcd.url, "--external-url", self.url, spawn=self._spawn)
        self.kubeconfig.write_text(made.printed)
        self.root = Api(f"{self.url}/clusters/root", str(self.ca), self.token())
        self._reached()
        return self

    def start_again(self) -> None:
        """Starts everything that has ended, etcd with it, and waits until all serve, and all ranges are served by those that
        live: the sessions of those that were killed have to end."""
        dead = set() if any(shard.running for shard in self.shards.values()) else {shard.uid for shard in self.living()}
        if not self.etcd.running:
            self.etcd.start()
        ended = [process for process in self.processes if not process.running]
        for process in ended:
            process.start()
        for process in ended:
            process.ready()
        wait_for(lambda: all(info.shard and info.owner not in dead for info in self.ranges()), "those that live have all ranges")
        self._reached()

    def _reached(self) -> None:
        for url in self.urls:
            wait_for(partial(self._reaches_root, url), f"{url} reaches root")

    def _reaches_root(self, url: str) -> bool:
        return self.api("root", through=url).status_of("GET", "/api/v1/namespaces") == 200

    def close(self) -> None:
        """Kills what is left, and removes its files."""
        for process in self.processes:
            process.kill()
        if self._map is not None and self._store is not None:
            self._background.run(self._map.stop())
            self._background.run(self._store.close())
        for link in self._links:
            link.stop()
        self.etcd.stop()
        self._background.stop()
        self._folder.cleanup()

    def add_shard(self, name: str, *flags: str, wait: bool = True) -> Shard:
        shard = self._started(
            Shard,
            "shard",
            name,
            *("--shard-name", name, "--bind-address", "127.0.0.1", "--secure-port", "0", "--external-url", self.url),
            *("--registry-servers", ",".join(f"127.0.0.1:{port}" for port in self._registry_ports)),
            *flags,
        )
        self.shards[name] = shard
        if wait:
            shard.ready()
        return shard

    def add_views(self, name: str, *flags: str, wait: bool = True, spawn: Spawn | None = None) -> Process:
        """Starts a process of all stock views, or of those that `flags` name. `spawn`: how, if not as the others."""
        process = self._started(
            Process,
            "views",
            name,
            *("--views-name", name, "--bind-address", "127.0.0.1", "--secure-port", "0", "--external-url", self.url),
            *flags,
            spawn=spawn,
        )
        self.views.append(process)
        if wait:
            process.ready()
        return process

    def restart(self, process: Process) -> None:
        """Starts one that has ended, and waits until it serves."""
        process.start()
        process.ready()

    @property
    def logs(self) -> list[Path]:
        return [process.log for process in [*self.processes, self.etcd]]

    @property
    def processes(self) -> list[Process]:
        return [*self.registries, *self.gateways, *self.shards.values(), *self.views]

    @property
    def url(self) -> str:
        """Of the first gateway."""
        return f"https://127.0.0.1:{self._ports[0]}"

    @property
    def urls(self) -> list[str]:
        """Of every gateway."""
        return [f"https://127.0.0.1:{port}" for port in self._ports]

    @property
    def lookups(self) -> str:
        """`host:port` of the first gateway's gRPC."""
        return f"127.0.0.1:{self._lookup_ports[0]}"

    @property
    def registry_addresses(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self._registry_ports]

    @property
    def access(self) -> Path:
        """A root directory for `tenantry ranges` and its siblings."""
        return self.folder / "access-1"

    @property
    def ca(self) -> Path:
        return self.access / "pki" / "ca.crt"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "admin.kubeconfig"

    def token(self, context: str = "shard-base") -> str:
        return token_in(self.kubeconfig, context)

    def api(self, cluster: str, *, through: str = "") -> Api:
        """A cluster through the first gateway, or at another URL."""
        return Api(f"{through or self.url}/clusters/{cluster}", str(self.ca), self.token())

    # The map, as the store has it

    def ranges(self) -> Sequence[RangeInfo]:
        assert self._map is not None
        return self._map.ranges()

    def living(self) -> Sequence[ShardInfo]:
        assert self._map is not None
        return self._map.shards()

    def range_of(self, cluster: str) -> RangeInfo:
        """The map may show a range a moment after a workspace in it is served."""
        known = self._map
        assert known is not None
        found: RangeInfo | None = wait_for(lambda: known.range_of(cluster), f"a range holds {cluster}")
        assert found is not None
        return found

    def owner(self, cluster: str) -> Shard:
        """The shard that owns a cluster's range, once there is one."""
        return self.shards[wait_for(lambda: self.range_of(cluster).shard, f"{cluster} has an owner")]

    def owned_by(self, shard: Process) -> list[str]:
        return [info.name for info in self.ranges() if info.shard == shard.name]

    def placed(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Waits until every range has an owner, none is on its way, and all shards that live have some."""

        def look() -> bool:
            infos = self.ranges()
            owners = {info.shard for info in infos}
            return (
                bool(infos)
                and all(info.shard and not info.target for info in infos)
                and len(owners) >= min(len(infos), len(self.living()))
            )

        wait_for(look, f"ranges are placed: {self.ranges()}", seconds)

    def access_file(self) -> Mapping[str, str]:
        found: Mapping[str, str] = json.loads((self.access / "run.json").read_text())
        return found

    async def _follow(self) -> None:
        self._store = await EtcdStore.open(EtcdConfig((self.etcd.url,)))
        self._map = RangeMap(self._store)
        await self._map.start()

    def _started(
        self, kind: type[ProcessKind], command: str, name: str, *arguments: str, spawn: Spawn | None = None
    ) -> ProcessKind:
        port = self.etcd.port
        if self._linked:
            link = Link(self._background, port)
            self._links.append(link)
            port = link.port
        health_port = free_port()
        health = () if "--health-port" in arguments else ("--health-port", str(health_port))
        flags = self._flags.get(command, ())
        process = kind(name, self.folder, port, command, *arguments, *health, *flags, spawn=spawn or self._spawn)
        process.metrics_url = f"http://127.0.0.1:{health_port}/metrics" if health else ""
        if self._linked:
            process.link = link
        process.start()
        return process


ProcessKind = TypeVar("ProcessKind", bound=Process)
