"""The resources that a platform uses: CPU time, and calls to etcd."""

from __future__ import annotations

import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from tests.support.etcd import EtcdServer
from tests.support.fleet import Fleet, Process
from tools.child import cpu_seconds

DEADLINE_SECONDS = 10.0
UPDATES = "updates"
"""The name under which messages that etcd sent to watches are counted."""
_SERVICES = ("etcdserverpb.KV", "etcdserverpb.Lease", "etcdserverpb.Watch")


def etcd_calls(etcd: EtcdServer) -> Counter[str]:
    """Calls to an etcd since its start, by method, and the messages that it sent to watches. A message of a stream is a call."""
    with urllib.request.urlopen(f"{etcd.url}/metrics", timeout=DEADLINE_SECONDS) as answer:
        text = answer.read().decode()
    calls: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.labels.get("grpc_service") not in _SERVICES:
                continue
            method = sample.labels["grpc_method"]
            if sample.name == "grpc_server_msg_received_total":
                calls[method] += int(sample.value)
            elif sample.name == "grpc_server_msg_sent_total" and method == "Watch":
                calls[UPDATES] += int(sample.value)
    return calls


@dataclass(frozen=True, slots=True)
class Usage:
    """Used resources. `cpu_seconds`: by kind of process. `calls`: to etcd, by method."""

    seconds: float
    cpu_seconds: Mapping[str, float]
    calls: Mapping[str, int]


class Meter:
    """Measures the processes of a platform. Call `begin`, send the requests, then call `end`."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._calls: Counter[str] = Counter()
        self._cpu: dict[str, float] = {}
        self._began = 0.0

    def begin(self) -> None:
        # Reading the numbers costs etcd a few milliseconds, which are not measured.
        self._calls = etcd_calls(self._fleet.etcd)
        self._cpu = self._read()
        self._began = time.perf_counter()

    def end(self) -> Usage:
        seconds = time.perf_counter() - self._began
        now = self._read()
        cpu = {kind: now[kind] - self._cpu[kind] for kind in now}
        calls = etcd_calls(self._fleet.etcd)
        calls.subtract(self._calls)
        return Usage(seconds, cpu, {method: count for method, count in calls.items() if count})

    def _read(self) -> dict[str, float]:
        fleet = self._fleet
        kinds: Mapping[str, Iterable[int]] = {
            "etcd": [fleet.etcd.pid],
            "registry": _pids(fleet.registries),
            "gateway": _pids(fleet.gateways),
            "shard": _pids(fleet.shards.values()),
        }
        return {kind: sum(map(cpu_seconds, pids)) for kind, pids in kinds.items()}


def _pids(processes: Iterable[Process]) -> list[int]:
    return [process.pid for process in processes]
