"""Look-ups in a client's map, single and in batches over gRPC; the lag of the map at many clients; and the time that the gateway
adds to a GET. The gateway is a process on an etcd. The shard behind it is a fake one that answers at once."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import grpc
import uvloop

from benchmarks.client import Failed
from benchmarks.fleets import gateway
from benchmarks.outside import access_flags, go_client
from benchmarks.results import Figures, Results
from benchmarks.seed import Seeded, seed
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2 as pb
from tenantry._proto.tenantry.gateway.v1 import gateway_pb2_grpc as stubs
from tenantry.apiserver.authentication import common_names
from tenantry.apiserver.authentication.shared_authority import shared_authority
from tenantry.apiserver.request import Request
from tenantry.apiserver.serving import http_server
from tenantry.client import Client, Credentials
from tenantry.http.certificates import CertificateAuthority, Pair, pair_server_context
from tenantry.http.messages import Reply, Response
from tenantry.storage.etcd import EtcdConfig, EtcdStore
from tests.support.etcd import EtcdServer

RANGES = 1000
TENANTS = 100_000
SAMPLE = 20_000
FOLLOWERS = 1000
MOVES = 40
WARM_MOVES = 3
FOLLOWERS_SECONDS_MAX = 120.0
ASK_SECONDS_MAX = 60.0


def measure(root: Path, results: Results) -> None:
    root.mkdir(parents=True, exist_ok=True)
    etcd = EtcdServer(directory=root)
    etcd.start()
    try:
        asyncio.run(_measure(root, etcd, results.figures))
    finally:
        etcd.stop()


async def _measure(root: Path, etcd: EtcdServer, figures: Figures) -> None:
    store = await EtcdStore.open(EtcdConfig((etcd.url,), deadline_seconds=30))
    try:
        authority = await shared_authority(store)
        who = client_credentials(authority)
        with _shard(authority.pair) as shard_port:
            url = f"https://127.0.0.1:{shard_port}"
            seeded = await seed(store, tenants=TENANTS, ranges=RANGES, urls=[url, url])
            with gateway(root, etcd) as made:
                figures |= await resolve(made.address, who, seeded)
                await asyncio.to_thread(uvloop.run, _front_door(made.port, shard_port, who, seeded.cluster(5), figures))
                await _lag(store, seeded, made.address, who, figures)
    finally:
        await store.close()


def client_credentials(authority: CertificateAuthority) -> Credentials:
    pair = authority.issue_client(common_names.LOOKUP)
    return Credentials(authority.certificate, pair.certificate, pair.key)


async def resolve(address: str, who: Credentials, seeded: Seeded) -> Figures:
    """Look-ups per second: `resolve_memory`, `resolve_unary`, `resolve_batch`. Every answer is checked."""
    some = [seeded.cluster(random.randrange(seeded.tenants)) for _ in range(SAMPLE)]
    figures: Figures = {}
    async with Client([address], who) as client:
        await client.ready()
        started = time.perf_counter()
        for _ in range(25):
            for cluster in some:
                client.locate(cluster)
        figures["resolve_memory"] = 25 * len(some) / (time.perf_counter() - started)
        if client.locate(some[0]) != (await client.ask(some[0]))._replace(path=""):
            raise Failed(f"the map and the gateway do not agree about {some[0]}")
    tls = grpc.ssl_channel_credentials(who.ca, who.key, who.certificate)
    async with grpc.aio.secure_channel(address, tls) as channel:
        stub = stubs.GatewayStub(channel)  # type: ignore[no-untyped-call]

        async def many(count: int) -> None:
            for number in range(count):
                answer = await stub.Resolve(pb.ResolveRequest(tenant=some[number]))
                if answer.cluster != some[number] or not answer.shard_url:
                    raise Failed(f"asked for {some[number]}, got {answer}")

        await many(200)
        if go_client() is None:
            started = time.perf_counter()
            await asyncio.gather(*(many(200) for _ in range(64)))
            figures["resolve_unary"] = 64 * 200 / (time.perf_counter() - started)
        batch = pb.BatchResolveRequest(tenants=some[:1000])

        async def batches(count: int) -> None:
            for _ in range(count):
                answer = await stub.BatchResolve(batch)
                if len(answer.place) != 1000 or answer.failures:
                    raise Failed(f"{len(answer.place)} places instead of 1000, {len(answer.failures)} failures")

        await batches(5)
        started = time.perf_counter()
        await asyncio.gather(*(batches(100) for _ in range(4)))
        figures["resolve_batch"] = 4 * 100 * 1000 / (time.perf_counter() - started)
    if (program := go_client()) is not None:
        figures["resolve_unary"] = await _ask(program, address, who, some[:1000])
    return figures


async def _ask(program: str, address: str, who: Credentials, tenants: Sequence[str]) -> float:
    """Single look-ups per second, 64 concurrently. The Go program checks each answer."""
    with tempfile.TemporaryDirectory() as name:
        flags = access_flags(Path(name), address, who)
        asking = await asyncio.create_subprocess_exec(program, *flags, "ask", "12800", "64", *tenants, stdout=subprocess.PIPE)
        async with asyncio.timeout(ASK_SECONDS_MAX):
            output, _ = await asking.communicate()
    if asking.returncode:
        raise Failed("single look-ups from Go failed")
    return float(json.loads(output)["perSecond"])


@contextmanager
def _shard(ca: Pair) -> Iterator[int]:
    """Starts a fake shard in its own process. Yields its port."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, ca), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join(10)


def _answer(pipe: Connection, ca: Pair) -> None:
    """Answers every request with the same small object, because only the way to the shard is measured."""

    async def run() -> None:
        authority = CertificateAuthority(ca)
        body = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"x":"' + b"x" * 900 + b'"}}'

        async def answer(request: Request) -> Reply:
            return Response(200, body)

        tls = pair_server_context(authority.issue_serving(["127.0.0.1"]), client_ca_pem=authority.certificate)
        server = http_server(answer, tls=tls)
        pipe.send(await server.start("127.0.0.1", 0))
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        await server.stop()

    uvloop.run(run())


async def _front_door(gateway_port: int, shard_port: int, who: Credentials, tenant: str, figures: Figures) -> None:
    """Sends one request at a time, alternately direct and through the gateway, so that both have the same conditions."""
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder) / "crt", Path(folder) / "key"
        certificate.write_bytes(who.certificate)
        key.write_bytes(who.key)
        tls = ssl.create_default_context(cadata=who.ca.decode())
        tls.load_cert_chain(certificate, key)
    path = f"/clusters/{tenant}/api/v1/namespaces/default/configmaps/a"

    async def get(session: aiohttp.ClientSession, port: int) -> None:
        async with session.get(f"https://127.0.0.1:{port}{path}", ssl=tls) as answer:
            body = await answer.read()
            if answer.status != 200 or len(body) < 900:
                raise Failed(f"port {port} answered {answer.status}: {body[:300]!r}")

    times: dict[int, list[float]] = {gateway_port: [], shard_port: []}
    async with aiohttp.ClientSession() as session:
        for number in range(1500):
            for port, taken in times.items():
                started = time.perf_counter()
                await get(session, port)
                if number >= 100:
                    taken.append(time.perf_counter() - started)
    figures["front_door_adds"] = 1000 * (_quantile(times[gateway_port], 0.5) - _quantile(times[shard_port], 0.5))
    requests = 6400
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> None:
            for _ in range(requests // 32):
                await get(session, gateway_port)

        await asyncio.gather(*(one() for _ in range(32)))
        started = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(32)))
        figures["front_door_get_32"] = requests / (time.perf_counter() - started)


async def _lag(store: EtcdStore, seeded: Seeded, address: str, who: Credentials, figures: Figures) -> None:
    """Changes owners as the registry does. Measures from the answer of the commit until each follower has the change.

    Each follower has its own connection. The followers are a Go program if there is Go; in Python they would dominate the time.
    """
    with tempfile.TemporaryDirectory() as name:
        flags = access_flags(Path(name), address, who)
        program = go_client()
        command = [program] if program is not None else [sys.executable, "-m", "benchmarks.map_followers"]
        followers = await asyncio.create_subprocess_exec(
            *command, *flags, "follow", str(FOLLOWERS), stdout=subprocess.PIPE, limit=1 << 20
        )
        assert followers.stdout is not None
        try:
            async with asyncio.timeout(FOLLOWERS_SECONDS_MAX):
                if json.loads(await followers.stdout.readline()) != {"ready": FOLLOWERS}:
                    raise Failed("the followers of the map did not start")
                lags: list[float] = []
                for number in range(WARM_MOVES + MOVES):
                    moved = random.choice(list(seeded.intervals))
                    version = await store.commit([], seeded.owner_puts(moved, f"uid-{number % 2}", number + 2), [])
                    committed = time.time()
                    seen = json.loads(await followers.stdout.readline())
                    if seen["version"] != version or len(seen["moments"]) != FOLLOWERS:
                        raise Failed(f"followers saw version {seen['version']} instead of {version}")
                    if number >= WARM_MOVES:
                        lags += [moment - committed for moment in seen["moments"]]
        finally:
            followers.kill()
            await followers.wait()
    figures["map_lag_p50"] = 1000 * _quantile(lags, 0.5)
    figures["map_lag_p99"] = 1000 * _quantile(lags, 0.99)


def _quantile(values: Sequence[float], quantile: float) -> float:
    return sorted(values)[min(len(values) - 1, int(quantile * len(values)))]
