"""What a webhook or a policy adds to a write: time at the client, and CPU time of the server. `python -m benchmarks.admission`.

One process of `tenantry start` serves four workspaces: one with neither, one with a validating webhook, one with a mutating
webhook, and one with a ValidatingAdmissionPolicy of three expressions. The webhook is a process of its own on loopback that
answers at once. Short blocks of creates by one client take turns in the four, in another order in each round, so that other work
on the machine falls on all alike; what is added is the difference within a round. Beside each median is the interval in which the
true one is with a probability of 95 %, whatever the rounds are like (order statistics).
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
from math import ceil
from pathlib import Path
from typing import cast

import orjson
import uvloop

from benchmarks import workspaces
from benchmarks.client import JSON, Client, Connection, must
from benchmarks.objects import config_map
from tests.support.webhooks import GROUP, PLURALS, certificate, configuration, rule
from tools.server import Server

ROUNDS = 120
ROUNDS_MIN = 10
WRITES = 50
WEBHOOKS = ("validating", "mutating")
POLICY = "policy"
KINDS = ("plain", *WEBHOOKS, POLICY)
EXPRESSIONS = (
    "has(object.data) && object.data.all(key, size(object.data[key]) <= 1024)",
    "!has(object.metadata.labels) || !('forbidden' in object.metadata.labels)",
    "object.metadata.name.matches('^[a-z0-9-]+$') && object.metadata.namespace == 'default'",
)
ESTABLISHED_SECONDS_MAX = 30.0
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
    for kind in WEBHOOKS:
        await webhook(connection, kind, port)
    await policy(connection)
    found: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in KINDS}
    for number in range(-1, rounds):
        first = number % len(KINDS)
        for kind in (*KINDS[first:], *KINDS[:first]):
            p50, cpu = await block(connection, server, kind, number)
            if number >= 0:
                found[kind][0].append(p50)
                found[kind][1].append(cpu)
    return found


async def webhook(connection: Connection, kind: str, port: int) -> None:
    hook = {
        "name": "hook.bench.example",
        "clientConfig": {
            "url": f"https://127.0.0.1:{port}/{kind}",
            "caBundle": base64.b64encode(certificate()[0]).decode(),
        },
        "rules": [rule()],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    body = orjson.dumps(configuration(kind, "bench", hook))
    path = f"/clusters/root:{kind}/apis/{GROUP}/v1/{PLURALS[kind]}"
    must(await connection.request("POST", path, body, JSON), 201)


async def policy(connection: Connection) -> None:
    """Makes a policy and its binding, and waits until a write that each expression forbids is refused."""
    base = f"/clusters/root:{POLICY}/apis/{GROUP}/v1/validatingadmissionpolic"
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule()]},
        "validations": [{"expression": expression, "message": f"expression {n}"} for n, expression in enumerate(EXPRESSIONS)],
    }
    bound = {"policyName": "bench", "validationActions": ["Deny"]}
    for path, content in (("ies", spec), ("ybindings", bound)):
        body = orjson.dumps({"metadata": {"name": "bench"}, "spec": content})
        must(await connection.request("POST", base + path, body, JSON), 201)
    configmaps = f"/clusters/root:{POLICY}/api/v1/namespaces/default/configmaps?dryRun=All"
    forbidden = (
        {"metadata": {"name": "long"}, "data": {"value": "x" * 1025}},
        {"metadata": {"name": "labelled", "labels": {"forbidden": ""}}, "data": {"value": ""}},
        {"metadata": {"name": "dotted.name"}, "data": {"value": ""}},
    )
    async with asyncio.timeout(ESTABLISHED_SECONDS_MAX):
        for number, made in enumerate(forbidden):
            while True:
                answer = await connection.request("POST", configmaps, orjson.dumps(made), JSON)
                if answer.status == 422 and f"expression {number}".encode() in answer.body:
                    break
                must(answer, 201)


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
    rounds = len(found["plain"][0])
    lines = [f"median [95 % interval of the median] of {rounds} rounds of {WRITES} creates by one client, µs"]
    for kind, (times, cpu) in found.items():
        lines.append(f"{kind}: p50 {_interval(times)}, CPU of the server {_interval(cpu)}")
    for kind in KINDS[1:]:
        what = kind if kind == POLICY else f"{kind} webhook"
        added = [
            [with_it - without for with_it, without in zip(found[kind][part], found["plain"][part], strict=True)]
            for part in (0, 1)
        ]
        lines.append(f"a {what} adds: p50 {_interval(added[0])}, CPU of the server {_interval(added[1])}")
    return "\n".join(lines)


def _interval(values: Sequence[float]) -> str:
    """The median, and the values between which that of all possible rounds is: how many of n values are below it is binomial."""
    ordered = sorted(values)
    middle, half = len(ordered) / 2, 0.98 * len(ordered) ** 0.5
    low, high = ordered[max(0, int(middle - half))], ordered[min(len(ordered) - 1, ceil(middle + half))]
    return f"{statistics.median(ordered):.0f} [{low:.0f}, {high:.0f}]"


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve())
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often each block is measured, at least {ROUNDS_MIN}")
    rounds = max(ROUNDS_MIN, options.parse_args().rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chain, key = folder / "tls.crt", folder / "tls.key"
        chain.write_bytes(certificate()[0])
        key.write_bytes(certificate()[1])
        command = [sys.executable, "-m", "benchmarks.admission", "serve", str(chain), str(key)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as webhook, Server(folder / "server") as server:
            try:
                assert webhook.stdout is not None
                port = int(webhook.stdout.readline())
                print(text(uvloop.run(measure(server, port, rounds))))
            finally:
                webhook.terminate()


if __name__ == "__main__":
    main()
