"""The servers under attack: `tenantry start`, a platform of processes on etcd, and kube-apiserver.

Each has a hostile tenant and four quiet ones. They are administrators of a workspace; in kube-apiserver, of a namespace and, for
the types of the attacks, of the cluster.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from benchmarks import workspaces
from benchmarks.client import JSON, Client, must
from benchmarks.fleets import without_etcd
from benchmarks.hostile import kube_apiserver
from benchmarks.hostile.families import RBAC
from benchmarks.hostile.site import Site
from tests.support.etcd import EtcdServer
from tests.support.fleet import Fleet
from tools.child import memory_bytes
from tools.kubernetes_module import VERSION
from tools.server import Server
from tools.spawning import executed

QUIET = 4
_ADMIN_TOKEN = "administrator-of-the-benchmark"
_STALL = re.compile(rb"^tenantry_event_loop_longest_stall(_cpu)?_seconds\{since=\"minute\"\} ([0-9.eE+-]+)$", re.MULTILINE)
_DEADLINE_SECONDS = 30.0


def _token(name: str) -> str:
    return f"token-of-{name}"


TENANTS = ("hostile", *(f"quiet-{number}" for number in range(QUIET)))


def _token_file(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f'{_ADMIN_TOKEN},benchmark-admin,0,"system:masters"', *(f"{_token(name)},{name},{name}" for name in TENANTS)]
    path = folder / "tokens.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server. `pids`: of its processes, without etcd. `metrics`: URLs of metrics that have the longest stall. `owners`:
    returns range → generation."""

    url: str
    ca: str
    sites: Mapping[str, Site]
    pids: Callable[[], Sequence[int]]
    metrics: Sequence[str] = ()
    owners: Callable[[], Mapping[str, int]] = field(default=dict)

    @property
    def hostile(self) -> Site:
        return self.sites["hostile"]

    @property
    def quiet(self) -> list[Site]:
        return [site for name, site in self.sites.items() if name != "hostile"]

    def memory_bytes(self) -> int:
        return sum(memory_bytes(pid) for pid in self.pids())

    def longest_stall_seconds(self) -> tuple[float | None, float | None]:
        """(longest stall of all loops in the last minute, most CPU time in a stall) in seconds; None if there are no such
        metrics."""
        found: dict[bytes, list[float]] = {b"": [], b"_cpu": []}
        trusted = ssl.create_default_context(cafile=self.ca)
        for url in self.metrics:
            asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {_ADMIN_TOKEN}"})
            with urllib.request.urlopen(asked, context=trusted, timeout=_DEADLINE_SECONDS) as answer:
                for which, seconds in _STALL.findall(answer.read()):
                    found[which].append(float(seconds))
        return max(found[b""], default=None), max(found[b"_cpu"], default=None)


@contextmanager
def one_process(folder: Path) -> Iterator[Serving]:
    with Server(folder / "data", "--token-auth-file", str(_token_file(folder))) as server:
        sites = asyncio.run(_workspaces(Client(server.url, _ADMIN_TOKEN, server.ca)))
        yield Serving(server.url, server.ca, sites, lambda: [server.pid], [f"{server.url}/metrics"])


@contextmanager
def platform(folder: Path) -> Iterator[Serving]:
    """A platform with one registry, one gateway and two shards."""
    shard = ("--token-auth-file", str(_token_file(folder)), "--webhook-networks", "public,loopback")
    flags = {"shard": shard, "registry": ("--range-capacity", "3")}
    with Fleet(shards=2, flags=flags, etcd=EtcdServer(directory=folder), links=False, spawn=executed) as fleet:
        ca = str(fleet.ca)
        sites = asyncio.run(_workspaces(Client(fleet.url, _ADMIN_TOKEN, ca)))
        fleet.placed()

        def owners() -> Mapping[str, int]:
            return {info.name: info.generation for info in fleet.ranges()}

        def pids() -> Sequence[int]:
            return [process.pid for process in fleet.processes]

        # On the API port, RBAC of `root` decides who may read metrics, and a shard without `root` cannot check that.
        metrics = [process.metrics_url for process in (*fleet.gateways, *fleet.shards.values())]
        yield Serving(fleet.url, ca, sites, pids, metrics, owners)


@contextmanager
def kubernetes(folder: Path) -> Iterator[Serving]:
    with kube_apiserver.kube_apiserver(folder / "kubernetes", _token_file(folder)) as server:
        ca = str(server.ca)
        sites = asyncio.run(_namespaces(Client(server.url, _ADMIN_TOKEN, ca)))
        yield Serving(server.url, ca, sites, lambda: [server.process.pid])


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of server. `missing`: returns the missing program, or None."""

    what: str
    serve: Callable[[Path], AbstractContextManager[Serving]]
    missing: Callable[[], str | None] = lambda: None


def _without_kubernetes() -> str | None:
    return without_etcd() or kube_apiserver.missing()


KINDS = {
    "one-process": Kind("one process on SQLite", one_process),
    "platform": Kind("registry, gateway and two shards on etcd", platform, without_etcd),
    "kube-apiserver": Kind(f"kube-apiserver {VERSION} on etcd", kubernetes, _without_kubernetes),
}


async def _workspaces(admin: Client) -> Mapping[str, Site]:
    await workspaces.create_all(admin, list(TENANTS))
    sites: dict[str, Site] = {}
    connection = await admin.connect()
    for name in TENANTS:
        answer = must(await connection.request("GET", f"/clusters/root/apis/tenancy.kcp.io/v1alpha1/workspaces/{name}"), 200)
        prefix = f"/clusters/{orjson.loads(answer.body)['spec']['cluster']}"
        sites[name] = Site(prefix, "default", _token(name))
        must(await connection.request("POST", f"{prefix}/apis/{RBAC}/clusterrolebindings", _administrator(name), JSON), 201)
    connection.close()
    return sites


async def _namespaces(admin: Client) -> Mapping[str, Site]:
    sites: dict[str, Site] = {}
    connection = await admin.connect()
    for name in TENANTS:
        must(await connection.request("POST", "/api/v1/namespaces", orjson.dumps({"metadata": {"name": name}}), JSON), 201)
        must(await connection.request("POST", f"/apis/{RBAC}/clusterrolebindings", _administrator(name), JSON), 201)
        sites[name] = Site("", name, _token(name))
    connection.close()
    return sites


def _administrator(name: str) -> bytes:
    group = "rbac.authorization.k8s.io"
    return orjson.dumps(
        {
            "metadata": {"name": f"administrator-{name}"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
        }
    )
