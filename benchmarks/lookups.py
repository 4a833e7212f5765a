"""Look-ups: from a client's map, one by one and in batches over gRPC, the lag of the map to many clients, and what the front door
adds to a GET. The gateway is a process of its own over a store in memory; the clients are in other processes."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import random
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import uvloop

from gateway.main import Gateway
from gateway.settings import GatewaySettings
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2_grpc as stubs
from tenantry.apiserver.edge.certificates import CertificateAuthority, Pair, pair_server_context
from tenantry.apiserver.edge.server import EdgeServer
from tenantry.apiserver.http import Reply, Request, Response
from tenantry.client import Client, Credentials
from tenantry.client.tenant_map import whole
from tenantry.storage.memory import MemoryStore
from tenantry.storage.store import Put
from tenantry.tenancy.map_rows import RangeRow, SessionRow, encode
from tools.go_client import build

RANGES = 1000
TENANTS_IN_RANGE = 100
FOLLOWERS = 1000
MOVES = 40
WARM_MOVES = 3
Figures = dict[str, float]


def start_of(number: int) -> str:
    digits = "0123456789abcdefghijklmnopqrstuvwxyz"
    return f"{digits[number // 1296]}{digits[number // 36 % 36]}{digits[number % 36]}"


def tenant(number: int) -> str:
    return f"{start_of(number // TENANTS_IN_RANGE)}{number % TENANTS_IN_RANGE:013d}"


def _serve(pipe: Connection, ca: Pair, shard_port: int) -> None:
    """The gateway's process: says its ports, then moves ranges when told to and says when each move was committed."""

    async def run() -> None:
        store = MemoryStore()
        authority = CertificateAuthority(ca)
        lease = await store.grant_lease(3600)
        for uid in ("u0", "u1"):
            url = f"https://127.0.0.1:{shard_port}"
            await store.commit([], [Put(f"/sessions/{uid}".encode(), encode(SessionRow(uid, url, lease)))], [])
        rows = [(f"range-{n}", RangeRow(start_of(n), start_of(n) + "zzz", 1000, {}, "u0", 1)) for n in range(RANGES)]
        rows.append(("root", RangeRow("r", "t", 1000, {}, "u0", 1)))
        for at in range(0, len(rows), 100):
            await store.commit([], [Put(f"/ranges/{name}".encode(), encode(row)) for name, row in rows[at : at + 100]], [])
        for at in range(0, RANGES * TENANTS_IN_RANGE, 100):
            puts = [
                Put(f"/catalog/tenancy.kcp.io/workspaces/root/w{n}".encode(), b'{"cluster":"%b"}' % tenant(n).encode())
                for n in range(at, at + 100)
            ]
            await store.commit([], puts, [])
        settings = GatewaySettings(bind_address="127.0.0.1", secure_port=0, gateway_port=0, health_port=-1)
        gateway = Gateway(settings, store, authority)
        await gateway.start()
        # As the process does (`gateway.main`).
        gc.collect()
        gc.freeze()
        pipe.send((gateway.port, gateway.lookup_port))
        loop = asyncio.get_running_loop()
        generation = 1
        while (wish := await loop.run_in_executor(None, pipe.recv)) is not None:
            generation += 1
            name, start = wish
            row = RangeRow(start, start + "zzz", 1000, {}, f"u{generation % 2}", generation)
            version = await store.commit([], [Put(f"/ranges/{name}".encode(), encode(row))], [])
            pipe.send((version, time.time()))
        await gateway.stop()

    uvloop.run(run())


def _shard(pipe: Connection, ca: Pair) -> None:
    """A shard that answers every request with the same small object: what is measured is the way to it."""

    async def run() -> None:
        authority = CertificateAuthority(ca)
        body = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"x":"' + b"x" * 900 + b'"}}'

        async def answer(request: Request) -> Reply:
            return Response(200, body)

        tls = pair_server_context(authority.issue_serving(["127.0.0.1"]), client_ca_pem=authority.certificate)
        server = EdgeServer(answer, tls=tls)
        pipe.send(await server.start("127.0.0.1", 0))
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        await server.stop()

    uvloop.run(run())


async def _follow(address: str, who: Credentials, count: int) -> None:
    """Clients of the map in Python, for machines without Go; prints what `tests/clients/resolve follow` prints."""
    arrived: dict[int, list[float]] = {}
    ready = 0

    async def client(stub: Any) -> None:
        nonlocal ready
        call = stub.WatchMap(pb.WatchMapRequest())
        known = whole(await call.read())
        ready += 1
        if ready == count:
            print(json.dumps({"ready": count}), flush=True)
        while (update := await call.read()) is not grpc.aio.EOF:
            known = known.applied(update)
            if update.ranges:
                moments = arrived.setdefault(known.version, [])
                moments.append(time.time())
                if len(moments) == count:
                    print(json.dumps({"version": known.version, "moments": arrived.pop(known.version)}), flush=True)

    tls = grpc.ssl_channel_credentials(who.ca, who.key, who.certificate)
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)]
    channels = [grpc.aio.secure_channel(address, tls, options) for _ in range(count)]
    await asyncio.gather(*(client(stubs.GatewayStub(channel)) for channel in channels))  # type: ignore[no-untyped-call]


async def _over_grpc(address: str, who: Credentials, figures: Figures) -> None:
    async with Client([address], who) as client:
        await client.ready()
        some = [tenant(random.randrange(RANGES * TENANTS_IN_RANGE)) for _ in range(20_000)]
        started = time.perf_counter()
        for _ in range(25):
            for cluster in some:
                client.locate(cluster)
        figures["resolve_memory"] = 25 * len(some) / (time.perf_counter() - started)
        assert client.locate(some[0]) == (await client.ask(some[0]))._replace(path="")
    tls = grpc.ssl_channel_credentials(who.ca, who.key, who.certificate)
    async with grpc.aio.secure_channel(address, tls) as channel:
        stub = stubs.GatewayStub(channel)  # type: ignore[no-untyped-call]

        async def many(count: int) -> None:
            for number in range(count):
                await stub.Resolve(pb.ResolveRequest(tenant=some[number]))

        await many(200)
        started = time.perf_counter()
        await asyncio.gather(*(many(200) for _ in range(64)))
        figures["resolve_unary"] = 64 * 200 / (time.perf_counter() - started)
        batch = pb.BatchResolveRequest(tenants=some[:1000])

        async def batches(count: int) -> None:
            for _ in range(count):
                answer = await stub.BatchResolve(batch)
                assert len(answer.place) == 1000

        await batches(5)
        started = time.perf_counter()
        await asyncio.gather(*(batches(100) for _ in range(4)))
        figures["resolve_batch"] = 4 * 100 * 1000 / (time.perf_counter() - started)


async def _front_door(gateway_port: int, shard_port: int, who: Credentials, figures: Figures) -> None:
    """One request at a time, direct and through the gateway by turns, so that both see the same machine."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder) / "crt", Path(folder) / "key"
        certificate.write_bytes(who.certificate)
        key.write_bytes(who.key)
        tls = ssl.create_default_context(cadata=who.ca.decode())
        tls.load_cert_chain(certificate, key)
    path = f"/clusters/{tenant(5)}/api/v1/namespaces/default/configmaps/a"
    times: dict[int, list[float]] = {gateway_port: [], shard_port: []}
    async with aiohttp.ClientSession() as session:
        for number in range(1500):
            for port, taken in times.items():
                started = time.perf_counter()
                async with session.get(f"https://127.0.0.1:{port}{path}", ssl=tls) as answer:
                    await answer.read()
                if number >= 100:
                    taken.append(time.perf_counter() - started)
    figures["front_door_adds"] = 1000 * (_quantile(times[gateway_port], 0.5) - _quantile(times[shard_port], 0.5))

    async def load(port: int, requests: int) -> float:
        async def one() -> None:
            for _ in range(requests // 32):
                async with session.get(f"https://127.0.0.1:{port}{path}", ssl=tls) as answer:
                    await answer.read()

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(one() for _ in range(32)))
            started = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(32)))
            return requests / (time.perf_counter() - started)

    figures["front_door_get_32"] = await load(gateway_port, 6400)


def _lag(gateway: Connection, address: str, who: Credentials, figures: Figures) -> None:
    """Each follower has a connection of its own. In Go where there is Go, or the followers would be what is measured."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {"ca": who.ca, "cert": who.certificate, "key": who.key}
        for kind, content in files.items():
            (folder / kind).write_bytes(content)
        flags = ["-address", address, *(part for kind in files for part in (f"-{kind}", str(folder / kind)))]
        go = shutil.which("go")
        command = [str(build(go, folder / "go"))] if go else [sys.executable, "-m", "benchmarks.lookups"]
        followers = subprocess.Popen([*command, *flags, "follow", str(FOLLOWERS)], stdout=subprocess.PIPE)
        assert followers.stdout is not None
        try:
            assert json.loads(followers.stdout.readline()) == {"ready": FOLLOWERS}
            lags: list[float] = []
            for number in range(MOVES):
                at = random.randrange(RANGES)
                gateway.send((f"range-{at}", start_of(at)))
                version, committed = gateway.recv()
                seen = json.loads(followers.stdout.readline())
                assert seen["version"] == version
                if number >= WARM_MOVES:
                    lags += [moment - committed for moment in seen["moments"]]
        finally:
            followers.kill()
            followers.wait()
            followers.stdout.close()
    figures["map_lag_p50"] = 1000 * _quantile(lags, 0.5)
    figures["map_lag_p99"] = 1000 * _quantile(lags, 0.99)


def _quantile(values: Sequence[float], quantile: float) -> float:
    return sorted(values)[min(len(values) - 1, int(quantile * len(values)))]


def measure(figures: Figures) -> None:
    """Adds the figures by the names of their rows."""
    context = multiprocessing.get_context("spawn")
    authority = CertificateAuthority.create()
    ca = authority.pair
    pair = authority.issue_client("tenantry-lookup")
    who = Credentials(authority.certificate, pair.certificate, pair.key)
    shard, shard_end = context.Pipe()
    shard_process = context.Process(target=_shard, args=(shard_end, ca), daemon=True)
    shard_process.start()
    shard_port = shard.recv()
    gateway, gateway_end = context.Pipe()
    gateway_process = context.Process(target=_serve, args=(gateway_end, ca, shard_port), daemon=True)
    gateway_process.start()
    port, lookup_port = gateway.recv()
    address = f"127.0.0.1:{lookup_port}"
    try:
        asyncio.run(_over_grpc(address, who, figures))
        uvloop.run(_front_door(port, shard_port, who, figures))
        _lag(gateway, address, who, figures)
    finally:
        for pipe, process in ((gateway, gateway_process), (shard, shard_process)):
            pipe.send(None)
            process.join(10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("address", "ca", "cert", "key"):
        parser.add_argument(f"-{name}")
    parser.add_argument("what", nargs="*", help="`follow COUNT`: only be that many followers of the map at an address")
    options = parser.parse_args()
    if options.what:
        asyncio.run(_follow(options.address, Credentials.read(options.ca, options.cert, options.key), int(options.what[1])))
        return 0
    figures: Figures = {}
    measure(figures)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
