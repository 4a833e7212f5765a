"""`tenantry drain|undrain|top`: what operators do with shards, over the registry's gRPC."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tenantry.cli import access
from tenantry.cli.output import render
from tenantry.cli.screen import ProgressBar, Screen
from tenantry.client.registry import RegistryClient

POLL_SECONDS = 0.25
TOP_SECONDS = 1.0


def add_commands(commands: Any) -> None:
    """The sub-commands, on an argparse sub-parser collection."""
    shared = access.flags()
    drain = commands.add_parser(
        "drain", parents=[shared], help="move all ranges away from a shard, and give it none", description=_DRAIN
    )
    drain.add_argument("shard", help="its name or uid")
    drain.add_argument("--no-wait", action="store_true", help="return at once, and let it go on")
    drain.add_argument("--timeout-seconds", type=float, default=300.0, help="how long to wait for it; default: 300")
    drain.set_defaults(run=access.command(lambda options: _run(_drain(options))))
    undrain = commands.add_parser("undrain", parents=[shared], help="give a shard ranges again")
    undrain.add_argument("shard", help="its name or uid")
    undrain.set_defaults(run=access.command(lambda options: _run(_undrain(options))))
    top = commands.add_parser("top", parents=[shared], help="shards and ranges with their load, live")
    top.add_argument("--once", action="store_true", help="print it once")
    top.set_defaults(run=access.command(lambda options: _run(_top(options))))


_DRAIN = (
    "Has the registry move all ranges away from a shard, and waits until it holds none. The shard goes on running; it gets "
    "ranges again after `tenantry undrain`, or when it is started again. A shard that is sent SIGTERM drains by itself."
)


def _run(work: Coroutine[Any, Any, int]) -> int:
    return asyncio.run(work)


@asynccontextmanager
async def _registry(options: argparse.Namespace) -> AsyncIterator[RegistryClient]:
    who = access.credentials(options)
    async with RegistryClient(access.registries(options), ca=who.ca, certificate=who.certificate, key=who.key) as client:
        yield client


async def _drain(options: argparse.Namespace) -> int:
    async with _registry(options) as registry:
        shards = await registry.shards()
        wanted = [shard for shard in shards if options.shard in (shard.name, shard.uid)]
        others = [shard for shard in shards if shard not in wanted and not shard.draining]
        if wanted and not others:
            raise access.AskingFailed(f"no other shard could take the ranges of {options.shard}: start one first")
        shard = await registry.drain(options.shard)
        if options.no_wait:
            print(f"shard {shard.name} is drained; `tenantry shards -w` shows how far it is")
            return 0
        total = next((s.ranges for s in await registry.shards() if s.uid == shard.uid), 0)
        bar = ProgressBar(f"draining {shard.name}", total)
        try:
            async with asyncio.timeout(options.timeout_seconds):
                while (left := await _ranges_left(registry, shard.uid)) > 0:
                    bar.show(max(0, total - left), " ranges moved")
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise access.AskingFailed(
                f"shard {shard.name} still holds {left} ranges after {options.timeout_seconds:g} s; it goes on being drained"
            ) from None
        finally:
            bar.end()
        bar.show(total, " ranges moved")
        bar.end()
        print(f"shard {shard.name} holds no range")
    return 0


async def _ranges_left(registry: RegistryClient, uid: str) -> int:
    """0 also where the shard has ended meanwhile."""
    return next((int(shard.ranges) for shard in await registry.shards() if shard.uid == uid), 0)


async def _undrain(options: argparse.Namespace) -> int:
    async with _registry(options) as registry:
        shard = await registry.undrain(options.shard)
        print(
            f"shard {shard.name} gets ranges again" if not shard.draining else f"shard {shard.name} is ending, and stays drained"
        )
    return 0


async def _top(options: argparse.Namespace) -> int:
    screen = Screen()
    async with _registry(options) as registry:
        while True:
            shards, ranges = await asyncio.gather(registry.shards(), registry.ranges())
            screen.show(_picture(shards, ranges, screen.lines))
            if options.once:
                return 0
            await asyncio.sleep(TOP_SECONDS)


def _picture(shards: Sequence[Any], ranges: Sequence[Any], lines: int) -> str:
    tenants = sum(r.load.tenants for r in ranges)
    requests = sum(r.load.requests_per_second for r in ranges)
    figures = (f"{len(shards)} shards", f"{len(ranges)} ranges", f"{tenants} tenants", f"{requests:.1f} requests/s")
    head = "   ".join((time.strftime("%H:%M:%S"), *figures))
    shard_rows = [
        {
            "shard": shard.name,
            "state": "draining" if shard.draining else "serving",
            "ranges": shard.ranges,
            **_load(shard.load),
        }
        for shard in shards
    ]
    busiest = sorted(ranges, key=lambda r: (-r.load.requests_per_second, -r.load.tenants, r.name))
    range_rows = [
        {"range": r.name, "shard": r.shard, "full": f"{100 * r.load.tenants // max(1, r.capacity)} %", **_load(r.load)}
        for r in busiest[: max(1, lines - len(shards) - 6)]
    ]
    return "\n\n".join((head, _table(shard_rows), _table(range_rows)))


def _load(load: Any) -> dict[str, Any]:
    return {"tenants": load.tenants, "objects": load.objects, "requests/s": f"{load.requests_per_second:.1f}"}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    columns = [(name, lambda row, name=name: row[name]) for name in (rows[0] if rows else {"none": ""})]
    return render(rows, columns, "table")
