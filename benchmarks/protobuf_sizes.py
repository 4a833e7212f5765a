"""`python -m benchmarks.protobuf_sizes`: how long objects are in protobuf and in JSON, as kube-apiserver answers them.

The wire format is Kubernetes' own, so the ratio is that of the format. Each object of kube-apiserver is also written by this code
from its JSON, and has to be the same bytes.
"""

from __future__ import annotations

import asyncio
import base64
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import uvloop

from benchmarks.apis import PROTOBUF
from benchmarks.client import JSON, Client, Connection, must
from benchmarks.hostile.kube_apiserver import kube_apiserver, missing
from benchmarks.objects import VALUE
from tenantry.kube.codec.protobuf_encoding import encode
from tenantry.kube.workloads.facts import messages

_TOKEN = "administrator-of-the-benchmark"
_STARTED_SECONDS_MAX = 60.0
_CONTAINER = {
    "name": "web",
    "image": "registry.example/shop/web:1.4.2",
    "ports": [{"name": "http", "containerPort": 8080}],
    "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "CACHE", "value": "redis.shop.svc:6379"}],
    "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
    "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
    "volumeMounts": [{"name": "settings", "mountPath": "/etc/web"}],
}
_LABELS = {"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop"}
_POD = {"containers": [_CONTAINER], "volumes": [{"name": "settings", "configMap": {"name": "web"}}]}
_SECRET = base64.b64encode(random.Random(0).randbytes(512)).decode()
_TIME = "2026-11-30T12:00:00.000000Z"
NAMESPACED = "namespaces/default"
OBJECTS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "ConfigMap of one value of 512 B": (f"/api/v1/{NAMESPACED}/configmaps", {"data": {"value": VALUE}}),
    "ConfigMap of 20 settings": (
        f"/api/v1/{NAMESPACED}/configmaps",
        {"data": {f"setting-{number}": f"value {number}" for number in range(20)}},
    ),
    "Secret of 512 random bytes": (f"/api/v1/{NAMESPACED}/secrets", {"data": {"key": _SECRET}}),
    "Lease": (
        f"/apis/coordination.k8s.io/v1/{NAMESPACED}/leases",
        {"spec": {"holderIdentity": "controller-1", "leaseDurationSeconds": 15, "acquireTime": _TIME, "renewTime": _TIME}},
    ),
    "Event": (
        f"/api/v1/{NAMESPACED}/events",
        {
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web-1"},
            "reason": "Scheduled",
            "message": "Successfully assigned default/web-1 to node-1",
            "source": {"component": "default-scheduler"},
            "firstTimestamp": "2026-11-30T12:00:00Z",
            "lastTimestamp": "2026-11-30T12:00:00Z",
            "count": 1,
            "type": "Normal",
        },
    ),
    "Service": (
        f"/api/v1/{NAMESPACED}/services",
        {"spec": {"selector": _LABELS, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}},
    ),
    "Endpoints of three addresses": (
        f"/api/v1/{NAMESPACED}/endpoints",
        {
            "subsets": [
                {
                    "addresses": [{"ip": f"10.1.0.{host}", "nodeName": f"node-{host}"} for host in range(1, 4)],
                    "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
                }
            ]
        },
    ),
    "Pod": (f"/api/v1/{NAMESPACED}/pods", {"spec": _POD}),
    "Deployment": (
        f"/apis/apps/v1/{NAMESPACED}/deployments",
        {
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": _POD},
            }
        },
    ),
    "Node": (
        "/api/v1/nodes",
        {
            "status": {
                "capacity": {"cpu": "8", "memory": "32Gi", "pods": "110"},
                "allocatable": {"cpu": "7900m", "memory": "31Gi", "pods": "110"},
                "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "node-1"}],
                "conditions": [
                    {"type": kind, "status": "False", "reason": "Kubelet", "message": "kubelet has no problem of this kind"}
                    for kind in ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
                ],
            }
        },
    ),
}
"""Objects as clients send them: where they are created, and what they have beside their metadata."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of an answer to a GET. `fields`: of its managedFields in JSON; FieldsV1 is the same text in both. `here`: what this
    code makes of the JSON, and whether these are the `same` bytes as kube-apiserver's protobuf."""

    json: int
    protobuf: int
    fields: int
    here: int
    same: bool

    @property
    def ratio(self) -> float:
        return self.protobuf / self.json


async def measure(client: Client) -> dict[str, Sizes]:
    # Messages of workload types are read when they are first needed.
    messages()
    connection = await client.connect()
    async with asyncio.timeout(_STARTED_SECONDS_MAX):
        while must(await connection.request("GET", "/api/v1/namespaces/default"), 200, 404).status == 404:
            pass
    found = {}
    for number, (what, (path, content)) in enumerate(OBJECTS.items()):
        name = f"object-{number}"
        body = orjson.dumps({"metadata": {"name": name, "labels": _LABELS}, **content})
        must(await connection.request("POST", path, body, JSON), 201)
        found[what] = await _sizes(connection, f"{path}/{name}")
    connection.close()
    return found


async def _sizes(connection: Connection, path: str) -> Sizes:
    json = must(await connection.request("GET", path), 200).body
    protobuf = must(await connection.request("GET", path, headers=PROTOBUF), 200).body
    obj = orjson.loads(json)
    here = encode(obj)
    fields = orjson.dumps(obj["metadata"].get("managedFields", []))
    return Sizes(len(json), len(protobuf), len(fields), len(here), here == protobuf)


def table(sizes: Mapping[str, Sizes]) -> str:
    lines = [
        "| object | JSON | of that managedFields | protobuf | ratio | protobuf here to that |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for what, each in sizes.items():
        here = f"{each.here / each.protobuf:.2f}" + ("" if each.same else " **(other bytes)**")
        lines.append(f"| {what} | {each.json:,} B | {each.fields:,} B | {each.protobuf:,} B | {each.ratio:.2f} | {here} |")
    return "\n".join(lines)


@contextmanager
def _client(folder: Path) -> Iterator[Client]:
    tokens = folder / "tokens.csv"
    tokens.write_text(f'{_TOKEN},benchmark-admin,0,"system:masters"\n')
    with kube_apiserver(folder / "server", tokens) as server:
        yield Client(server.url, _TOKEN, str(server.ca))


def main() -> int:
    if (reason := missing()) is not None:
        print(f"left out, {reason}", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory(prefix="tenantry-bench-") as name, _client(Path(name)) as client:
        sizes = uvloop.run(measure(client))
    print(table(sizes))
    return 0 if all(each.same for each in sizes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
