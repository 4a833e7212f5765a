"""`tenantry drain|undrain|top`: operate shards, by gRPC calls to the registry."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Coroutine, Sequence
from operator import itemgetter
from typing import Any

from tenantry.base.flags import seconds
from tenantry.cli import access
from tenantry.cli.output import Columns, data, render, state_of
from tenantry.cli.screen import ProgressBar, Screen
from tenantry.client.registry import RegistryClient, RegistryError

POLL_SECONDS = 0.25
TOP_SECONDS = 1.0
FORMS = ("table", "json", "yaml")

Asking = Coroutine[Any, Any, int]


def add_commands(commands: Any) -> None:
    """Adds the sub-commands to an argparse sub-parser collection."""
    shared = access.flags()
    drain = commands.add_parser(
        "drain", parents=[shared], help="move all ranges away from a shard and give it no others", description=_DRAIN
    )
    drain.add_argument("shard", help="name or uid of the shard")
    drain.add_argument("--no-wait", action="store_true", help="do not wait until the ranges have moved")
    drain.add_argument(
        "--timeout-seconds", type=seconds, default=300.0, help="how long to wait until the ranges have moved; default: 300"
    )
    drain.set_defaults(run=access.command(lambda options: _run(_drain(options))))
    undrain = commands.add_parser("undrain", parents=[shared], help="revert drain: the shard gets ranges again")
    undrain.add_argument("shard", help="name or uid of the shard")
    undrain.set_defaults(run=access.command(lambda options: _run(_undrain(options))))
    top = commands.add_parser("top", parents=[shared], help="show shards and ranges with their load, and update it")
    top.add_argument("--once", action="store_true", help="print it once and exit")
    top.add_argument(
        "-o", "--output", choices=FORMS, default="table", help="output format; json and yaml print it once; default: table"
    )
    top.set_defaults(run=access.command(lambda options: _run(_top(options)), interrupted=0))


_DRAIN = (
    "Moves all ranges away from a shard and waits until it owns none. The shard keeps running. It gets ranges again after "
    "`tenantry undrain` or after a restart. A shard that receives SIGTERM drains itself."
)


def _run(work: Asking) -> int:
    return asyncio.run(work)


async def _drain(options: argparse.Namespace) -> int:
    async with access.registry_client(options) as registry:
        shards = await registry.shards()
        wanted = [shard for shard in shards if options.shard in (shard.name, shard.uid)]
        others = [shard for shard in shards if shard not in wanted and not shard.draining]
        if wanted and not others:
            raise access.AskingFailed(f"no other shard could take the ranges of {options.shard}: start one first")
        shard = await registry.drain(options.shard)
        if options.no_wait:
            print(f"shard {shard.name} is being drained; `tenantry shards -w` shows the progress")
            return 0
        # The number before the drain, because some ranges may have moved before the first poll.
        total = left = next((int(one.ranges) for one in wanted if one.uid == shard.uid), 0)
        bar = ProgressBar(f"draining {shard.name}", total)
        try:
            async with asyncio.timeout(options.timeout_seconds):
                while (left := await _ranges_left(registry, shard.uid)) > 0:
                    bar.show(max(0, total - left), " ranges moved")
                    await asyncio.sleep(POLL_SECONDS)
            bar.show(total, " ranges moved")
        except TimeoutError:
            raise access.AskingFailed(
                f"shard {shard.name} still owns {left} ranges after {options.timeout_seconds:g} s; draining continues"
            ) from None
        except asyncio.CancelledError:
            bar.end()
            print(f"draining of shard {shard.name} continues; `tenantry undrain {shard.name}` reverts it", file=sys.stderr)
            raise
        finally:
            bar.end()
        print(f"shard {shard.name} owns no range")
    return 0


async def _ranges_left(registry: RegistryClient, uid: str) -> int:
    """The number of ranges that a shard owns; 0 also if it has ended."""
    return next((int(shard.ranges) for shard in await registry.shards() if shard.uid == uid), 0)


async def _undrain(options: argparse.Namespace) -> int:
    async with access.registry_client(options) as registry:
        shard = await registry.undrain(options.shard)
        print(
            f"shard {shard.name} gets ranges again" if not shard.draining else f"shard {shard.name} is ending and stays drained"
        )
    return 0


async def _top(options: argparse.Namespace) -> int:
    screen = Screen()
    async with access.registry_client(options) as registry:
        while True:
            try:
                shards, ranges = await asyncio.gather(registry.shards(), registry.ranges())
            except RegistryError as error:
                if options.once or options.output != "table" or not screen.shown:
                    raise
                # Keep running, so that the user sees when the registry is back.
                screen.show(str(error))
            else:
                if options.output != "table":
                    print(data({"shards": _shard_rows(shards), "ranges": _range_rows(ranges)}, options.output))
                    return 0
                screen.show(_picture(shards, ranges, screen.lines))
                if options.once:
                    return 0
            await asyncio.sleep(TOP_SECONDS)


def _picture(shards: Sequence[Any], ranges: Sequence[Any], lines: int) -> str:
    tenants = sum(r.load.tenants for r in ranges)
    requests = sum(r.load.requests_per_second for r in ranges)
    totals = (f"{len(shards)} shards", f"{len(ranges)} ranges", f"{tenants} tenants", f"{requests:.1f} requests/s")
    head = "   ".join((time.strftime("%H:%M:%S"), *totals))
    busiest = _range_rows(ranges)[: max(1, lines - len(shards) - 6)]
    tables = (render(_shard_rows(shards), _SHARD_COLUMNS, "table"), render(busiest, _RANGE_COLUMNS, "table"))
    return "\n\n".join((head, *tables))


def _shard_rows(shards: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {"name": shard.name, "uid": shard.uid, "draining": shard.draining, "ranges": shard.ranges, **_load(shard.load)}
        for shard in shards
    ]


def _range_rows(ranges: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows of the ranges, the busiest first."""
    busiest = sorted(ranges, key=lambda r: (-r.load.requests_per_second, -r.load.tenants, r.name))
    return [{"name": r.name, "shard": r.shard, "capacity": r.capacity, **_load(r.load)} for r in busiest]


def _load(load: Any) -> dict[str, Any]:
    return {"tenants": load.tenants, "objects": load.objects, "requests_per_second": load.requests_per_second}


_LOAD_COLUMNS: Columns = (
    ("tenants", itemgetter("tenants")),
    ("objects", itemgetter("objects")),
    ("requests/s", lambda row: f"{row['requests_per_second']:.1f}"),
)
_SHARD_COLUMNS: Columns = (
    ("shard", itemgetter("name")),
    ("state", state_of),
    ("ranges", itemgetter("ranges")),
    *_LOAD_COLUMNS,
)
_RANGE_COLUMNS: Columns = (
    ("range", itemgetter("name")),
    ("shard", itemgetter("shard")),
    ("full", lambda row: f"{100 * row['tenants'] // max(1, row['capacity'])} %"),
    *_LOAD_COLUMNS,
)
