"""What an admission webhook adds to a write: time at the client, and CPU time of the server. `python -m benchmarks.webhooks`.

One process of `tenantry start` serves three workspaces: one without webhooks, one with a validating and one with a mutating
webhook. The webhook is a process of its own on loopback that answers at once. Short blocks of creates by one client take turns in
the three, so that other work on the machine falls on all alike; what a webhook adds is the difference within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import orjson
import uvloop

from benchmarks import workspaces
from benchmarks.client import JSON, Client, Connection, must
from benchmarks.objects import config_map
from tests.support.webhooks import GROUP, PLURALS, certificate, configuration, rule
from tools.server import Server

ROUNDS = 20
WRITES = 200
KINDS = ("plain", "validating", "mutating")
PATCH = base64.b64encode(orjson.dumps([{"op": "add", "path": "/data/by", "value": "hook"}])).decode()


class Webhook(asyncio.Protocol):
    """Allows everything; under /mutating with a patch."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0]):
            return
        self._data = b""
        response = {"uid": orjson.loads(body)["request"]["uid"], "allowed": True}
        if head.startswith(b"POST /mutating"):
            response |= {"patchType": "JSONPatch", "patch": PATCH}
        answer = orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer)
        )


async def serve() -> None:
    """Serves the webhook, and prints its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    server = await asyncio.get_running_loop().create_server(Webhook, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def measure(server: Server, port: int, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """By workspace: the median time of a create in each round, and the CPU time of the server for each, in microseconds."""
    client = Client(server.url, server.token("shard-base"), server.ca)
    await workspaces.create_all(client, KINDS)
    connection = await client.connect()
    for kind in KINDS[1:]:
        webhook = {
            "name": "hook.bench.example",
            "clientConfig": {
                "url": f"https://127.0.0.1:{port}/{kind}",
                "caBundle": base64.b64encode(certificate()[0]).decode(),
            },
            "rules": [rule()],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        body = orjson.dumps(configuration(kind, "bench", webhook))
        path = f"/clusters/root:{kind}/apis/{GROUP}/v1/{PLURALS[kind]}"
        must(await connection.request("POST", path, body, JSON), 201)
    found: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in KINDS}
    for number in range(-1, rounds):
        for kind in KINDS:
            p50, cpu = await block(connection, server, kind, number)
            if number >= 0:
                found[kind][0].append(p50)
                found[kind][1].append(cpu)
    return found


async def block(connection: Connection, server: Server, kind: str, number: int) -> tuple[float, float]:
    path = f"/clusters/root:{kind}/api/v1/namespaces/default/configmaps"
    times = []
    before = server.cpu_seconds()
    for write in range(WRITES):
        began = time.perf_counter()
        must(await connection.request("POST", path, config_map(f"n{number + 1}-{write}"), JSON), 201)
        times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times), 1e6 * (server.cpu_seconds() - before) / WRITES


def text(found: dict[str, tuple[list[float], list[float]]]) -> str:
    lines = [f"median [quartiles] of {len(found['plain'][0])} rounds of {WRITES} creates by one client, µs"]
    for kind, (times, cpu) in found.items():
        lines.append(f"{kind}: p50 {_quartiles(times)}, CPU of the server {_quartiles(cpu)}")
    for kind in KINDS[1:]:
        added = [
            [with_it - without for with_it, without in zip(found[kind][part], found["plain"][part], strict=True)]
            for part in (0, 1)
        ]
        lines.append(f"a {kind} webhook adds: p50 {_quartiles(added[0])}, CPU of the server {_quartiles(added[1])}")
    return "\n".join(lines)


def _quartiles(values: Sequence[float]) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.0f} [{low:.0f}, {high:.0f}]"


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve())
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help="how often each block is measured, at least 2")
    rounds = options.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chain, key = folder / "tls.crt", folder / "tls.key"
        chain.write_bytes(certificate()[0])
        key.write_bytes(certificate()[1])
        command = [sys.executable, "-m", "benchmarks.webhooks", "serve", str(chain), str(key)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as webhook, Server(folder / "server") as server:
            try:
                assert webhook.stdout is not None
                port = int(webhook.stdout.readline())
                print(text(uvloop.run(measure(server, port, rounds))))
            finally:
                webhook.terminate()


if __name__ == "__main__":
    main()
