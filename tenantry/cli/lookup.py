"""`tenantry ranges|shards|resolve|urls`: questions to a gateway over gRPC."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from tenantry.cli import access
from tenantry.cli.output import Columns, Row, render
from tenantry.cli.screen import Screen
from tenantry.client import ClientError, SyncClient

WATCH_SECONDS = 1.0
"""Numbers of tenants change without a change of the map, so that a watch asks again after this time at the latest."""

Question = Callable[[SyncClient, argparse.Namespace], tuple[Sequence[Row], Columns]]


def add_commands(commands: Any) -> None:
    """The sub-commands, on an argparse sub-parser collection."""
    shared = argparse.ArgumentParser(add_help=False, parents=[access.flags()])
    shared.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table", help="how to print; default: table")
    shared.add_argument("-w", "--watch", action="store_true", help="stay, and show every change")
    ranges = commands.add_parser("ranges", parents=[shared], help="the ranges of tenants and who serves them")
    ranges.set_defaults(run=_command(_ranges))
    shards = commands.add_parser("shards", parents=[shared], help="the serving processes")
    shards.set_defaults(run=_command(_shards))
    resolve = commands.add_parser("resolve", parents=[shared], help="where a tenant lives, by path (root:a:b) or id")
    resolve.add_argument("tenant", nargs="+")
    resolve.set_defaults(run=_command(_resolve))
    urls = commands.add_parser("urls", parents=[shared], help="the virtual workspace URLs of an export")
    urls.add_argument("export", metavar="PATH:EXPORT", help="for example root:provider:cowboys")
    urls.set_defaults(run=_command(_urls))


def _ranges(client: SyncClient, _: argparse.Namespace) -> tuple[Sequence[Row], Columns]:
    rows = [{**r._asdict(), "labels": dict(r.labels)} for r in client.ranges()]
    return rows, _columns("name", "start", "end", "shard", "generation", "tenants", "capacity", "url")


def _shards(client: SyncClient, _: argparse.Namespace) -> tuple[Sequence[Row], Columns]:
    rows = [{**shard._asdict(), "ranges": list(shard.ranges)} for shard in client.shards()]
    columns = _columns("name", "uid", "url", "tenants", "ranges")
    return rows, [*columns, ("state", lambda row: "draining" if row["draining"] else "serving")]


def _resolve(client: SyncClient, options: argparse.Namespace) -> tuple[Sequence[Row], Columns]:
    rows: list[Row] = [{"tenant": tenant, **client.ask(tenant)._asdict()} for tenant in options.tenant]
    return rows, _columns("tenant", "cluster", "range", "shard", "generation", "url")


def _urls(client: SyncClient, options: argparse.Namespace) -> tuple[Sequence[Row], Columns]:
    workspace, colon, export = options.export.rpartition(":")
    if not colon:
        raise access.AskingFailed(f"{options.export!r} names no workspace: write PATH:EXPORT, for example root:provider:cowboys")
    return [{"url": url} for url in client.urls(workspace, export)], _columns("url")


def _columns(*names: str) -> list[tuple[str, Callable[[Row], Any]]]:
    return [(name, itemgetter(name)) for name in names]


def _command(question: Question) -> access.Command:
    def run(options: argparse.Namespace) -> int:
        with access.gateways(options, follow=options.watch) as client:
            screen = Screen() if options.watch else None
            while True:
                try:
                    rows, columns = question(client, options)
                except ClientError as error:
                    if screen is None:
                        raise
                    # Who watches wants to see it come back.
                    screen.show(f"{error}")
                else:
                    text = render(rows, columns, options.output)
                    if screen is None:
                        print(text)
                        return 0
                    screen.show(text)
                client.changed(WATCH_SECONDS)

    return access.command(run)
