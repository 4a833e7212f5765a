"""The forms of a platform, as one thing to a test: one process on SQLite, and processes of their own on etcd, without and with
processes of views."""

from __future__ import annotations

import json
import signal
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.support.api import Api
from tests.support.etcd import EtcdServer
from tests.support.fleet import Fleet
from tests.support.running import Running
from tools.ports import free_port
from tools.server import Server
from tools.spawning import Spawn, forked

ONE_PROCESS = "one-process"
DISTRIBUTED = "distributed"
VIEWS_APART = "distributed-views"
"""As DISTRIBUTED, with all stock views in processes of their own."""
FORMS = (ONE_PROCESS, DISTRIBUTED, VIEWS_APART)

REGISTRIES = 1
GATEWAYS = 2
SHARDS = 2
VIEWS = 2
"""Processes of views."""
PATIENCE = {
    "registry": ("--election-ttl-seconds", "20"),
    "shard": ("--session-ttl-seconds", "20"),
    "views": ("--session-ttl-seconds", "20"),
}
"""A machine that tests share may stand still for many seconds. How soon shards are replaced is for `tests/distributed`."""


class Platform(Running):
    """A platform that runs. A context manager; what it holds outlives `stop` and `kill`, and `start` finds it again."""

    form: str
    urls: Sequence[str]
    """The origins at which clients reach it, the one that it publishes first."""
    ca: str
    kubeconfig: Path
    access: Path
    """For the flag --root-directory of `tenantry ranges` and its siblings."""
    shards: Sequence[str]
    """Their names."""

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def masters(self) -> Api:
        """As system:masters, without a cluster in the URL. Requests take all front proxies in turn."""
        return Api(self.url, self.ca, self.token(), tuple(self.urls))

    @property
    def root(self) -> Api:
        return self.masters.cluster("root")

    @abstractmethod
    def token(self, context: str = "shard-base") -> str:
        """Of the user of one of the kubeconfig's contexts."""

    @abstractmethod
    def start(self, *, more_shards: int = 0) -> Platform:
        """Returns when it serves. `more_shards`: how many it has from now on that it had not before."""

    @abstractmethod
    def signal(self, number: signal.Signals) -> None:
        """To all of its processes at once, as Ctrl-C and `docker compose down` do."""

    @abstractmethod
    def wait(self) -> int:
        """Waits for the end of all of its processes; the worst exit code."""

    def stop(self) -> None:
        """Ends it as an operator would."""
        self.signal(signal.SIGTERM)
        assert self.wait() == 0

    @abstractmethod
    def kill(self) -> None:
        """Ends all of it at once, as a loss of power would."""


class OneProcess(Platform):
    """`tenantry start` on a directory."""

    form = ONE_PROCESS

    def __init__(self, folder: Path, flags: Sequence[str], shards: int, spawn: Spawn) -> None:
        self._flags = flags
        # As with any port that is not chosen at each start, URLs stay what they are.
        self._port = ("--secure-port", str(free_port()))
        self.shards = [f"shard-{number + 1}" for number in range(shards)]
        self.server = Server(folder / "tenantry", spawn=spawn)
        self.kubeconfig = self.server.kubeconfig
        self.ca = self.server.ca
        self.access = self.server.root

    @property
    def logs(self) -> Sequence[Path]:
        return [self.server.log]

    def start(self, *, more_shards: int = 0) -> Platform:
        self.shards = [f"shard-{number + 1}" for number in range(len(self.shards) + more_shards)]
        self.server.arguments = ("--shards", str(len(self.shards)), *self._flags, *self._port)
        self.server.start()
        self.urls = [self.server.url]
        return self

    def token(self, context: str = "shard-base") -> str:
        return self.server.token(context)

    def signal(self, number: signal.Signals) -> None:
        self.server.signal(number)

    def wait(self) -> int:
        return self.server.wait()

    def kill(self) -> None:
        self.server.kill()

    def close(self) -> None:
        self.server.stop()


class Distributed(Platform):
    """A registry, two gateways and two shards, on etcd. `views`: how many processes of views."""

    form = DISTRIBUTED

    def __init__(
        self, flags: dict[str, Sequence[str]], spawn: Spawn = forked, etcd: EtcdServer | None = None, views: int = 0
    ) -> None:
        flags = {kind: (*PATIENCE.get(kind, ()), *flags.get(kind, ())) for kind in ("registry", "gateway", "shard", "views")}
        counts = {"registries": REGISTRIES, "gateways": GATEWAYS, "shards": SHARDS, "views": views}
        self.form = VIEWS_APART if views else DISTRIBUTED
        self.fleet = Fleet(**counts, flags=flags, etcd=etcd, links=False, spawn=spawn)
        self.urls = self.fleet.urls
        self.kubeconfig = self.fleet.kubeconfig
        self.ca = str(self.fleet.ca)
        self.access = self.fleet.folder / "commands"
        self._started = False

    @property
    def shards(self) -> Sequence[str]:  # type: ignore[override]
        return sorted(self.fleet.shards)

    @property
    def logs(self) -> Sequence[Path]:
        return [process.log for process in self.fleet.processes]

    def start(self, *, more_shards: int = 0) -> Platform:
        if self._started:
            self.fleet.start_again()
        else:
            self._started = True
            self.fleet.start()
            self._leave_access()
        for _ in range(more_shards):
            self.fleet.add_shard(f"shard-{len(self.fleet.shards) + 1}")
        return self

    def _leave_access(self) -> None:
        """What a gateway leaves, and where the registries are, of which a gateway knows nothing."""
        self.access.mkdir()
        (self.access / "pki").symlink_to(self.fleet.access / "pki")
        addresses = {**self.fleet.access_file(), "registry": self.fleet.registry_addresses[0]}
        (self.access / "run.json").write_text(json.dumps(addresses))

    def token(self, context: str = "shard-base") -> str:
        return self.fleet.token(context)

    def signal(self, number: signal.Signals) -> None:
        for process in self.fleet.processes:
            process.signal(number)

    def wait(self) -> int:
        return max(abs(process.wait()) for process in self.fleet.processes)

    def kill(self) -> None:
        for process in self.fleet.processes:
            process.signal(signal.SIGKILL)
        self.fleet.etcd.kill()
        self.wait()

    def close(self) -> None:
        self.fleet.close()


def platform(
    form: str,
    folder: Path,
    *,
    shards: int = 1,
    range_capacity: int = 0,
    token_file: Path | None = None,
    api_export_urls: bool = False,
    certificate_life_seconds: int = 0,
    authentication: Sequence[str] = (),
    front_proxies: Sequence[str] = (),
    spawn: Spawn = forked,
) -> Platform:
    """A platform of this form, not started yet. `authentication`: flags of the processes that authenticate tokens and authorize;
    `front_proxies`: flags of these and of gateways.

    `shards`: of the one process; the distributed forms have two in any case. `range_capacity` and
    `certificate_life_seconds` 0 leave the default.
    """
    capacity = ("--range-capacity", str(range_capacity)) if range_capacity else ()
    serving: tuple[str, ...] = ("--token-auth-file", str(token_file)) if token_file else ()
    serving += ("--api-export-urls=true",) if api_export_urls else ()
    serving += (*authentication, *front_proxies)
    serving += ("--webhook-networks", "loopback")
    life = ("--certificate-life-seconds", str(certificate_life_seconds)) if certificate_life_seconds else ()
    if form == ONE_PROCESS:
        return OneProcess(folder, (*capacity, *serving, *life), shards, spawn)
    authenticating = (*(("--token-auth-file", str(token_file)) if token_file else ()), *authentication, *front_proxies)
    flags: dict[str, Sequence[str]] = {
        "registry": (*capacity, *life),
        "shard": (*serving, *life),
        "gateway": (*life, *front_proxies),
        "views": (*authenticating, *life),
    }
    return Distributed(flags, spawn, views=VIEWS if form == VIEWS_APART else 0)
