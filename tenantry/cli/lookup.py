"""`tenantry ranges|shards|resolve|urls`: gRPC look-ups at a gateway."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from tenantry.cli import access
from tenantry.cli.output import FORMS, Columns, Row, render, state_of
from tenantry.cli.screen import Screen
from tenantry.client import ClientError, InvalidArgument, NoOwner, NotFound, SyncClient

WATCH_SECONDS = 1.0
"""Maximum interval between two look-ups of a watch: numbers of tenants change without a change of the map."""


class Found(NamedTuple):
    """The result of a look-up. `columns`: of every table. `more`: further columns of a wide table. `errors`: of arguments without
    a row."""

    rows: Sequence[Row]
    columns: Columns
    more: Columns = ()
    errors: Sequence[ClientError] = ()


Question = Callable[[SyncClient, argparse.Namespace], Found]


def add_commands(commands: Any) -> None:
    """Adds the sub-commands to an argparse sub-parser collection."""
    shared = argparse.ArgumentParser(add_help=False, parents=[access.flags()])
    shared.add_argument(
        "-o", "--output", choices=FORMS, default="table", help="output format; wide has more columns; default: table"
    )
    shared.add_argument("-w", "--watch", action="store_true", help="watch for changes")
    ranges = commands.add_parser("ranges", parents=[shared], help="list the ranges of tenants and the shards that serve them")
    ranges.set_defaults(run=_command(_ranges))
    shards = commands.add_parser("shards", parents=[shared], help="list the shards")
    shards.set_defaults(run=_command(_shards))
    resolve = commands.add_parser("resolve", parents=[shared], help="locate tenants by path (root:a:b) or id")
    resolve.add_argument("tenant", nargs="+", help="a path such as root:org:team, or an id")
    resolve.set_defaults(run=_command(_resolve))
    urls = commands.add_parser("urls", parents=[shared], help="list the virtual workspace URLs of an export")
    urls.add_argument("export", metavar="PATH:EXPORT", help="for example root:provider:cowboys")
    urls.set_defaults(run=_command(_urls))


def _ranges(client: SyncClient, _: argparse.Namespace) -> Found:
    rows = [{**r._asdict(), "labels": dict(r.labels)} for r in client.ranges()]
    return Found(
        rows, _columns("name", "start", "end", "shard", "generation", "tenants", "capacity", "url"), _columns("owner", "labels")
    )


def _shards(client: SyncClient, _: argparse.Namespace) -> Found:
    rows = [{**shard._asdict(), "ranges": list(shard.ranges)} for shard in client.shards()]
    return Found(
        rows,
        [
            *_columns("name", "uid", "url", "tenants"),
            ("ranges", lambda row: len(row["ranges"])),
            ("state", state_of),
        ],
        [("names of ranges", itemgetter("ranges"))],
    )


def _resolve(client: SyncClient, options: argparse.Namespace) -> Found:
    rows: list[Row] = []
    errors: list[ClientError] = []
    for tenant in options.tenant:
        try:
            rows.append({"tenant": tenant, **client.ask(tenant)._asdict()})
        except (NotFound, InvalidArgument, NoOwner) as error:
            errors.append(error)
    return Found(
        rows, _columns("tenant", "cluster", "range", "shard", "generation", "url"), _columns("path", "shard_url"), errors
    )


def _urls(client: SyncClient, options: argparse.Namespace) -> Found:
    workspace, colon, export = options.export.rpartition(":")
    if not colon:
        raise access.AskingFailed(f"{options.export!r} names no workspace: use PATH:EXPORT, for example root:provider:cowboys")
    return Found([{"url": url} for url in client.urls(workspace, export)], _columns("url"))


def _columns(*names: str) -> list[tuple[str, Callable[[Row], Any]]]:
    return [(name.replace("_", " "), itemgetter(name)) for name in names]


def _command(question: Question) -> access.Command:
    def run(options: argparse.Namespace) -> int:
        with access.gateways(options, follow=options.watch) as client:
            return _watch(question, client, options) if options.watch else _once(question, client, options)

    return access.command(run, interrupted=0)


def _once(question: Question, client: SyncClient, options: argparse.Namespace) -> int:
    found = question(client, options)
    if found.rows or not found.errors:
        # Flushed, so that it is before the errors if both streams go to one file.
        print(render(found.rows, found.columns, options.output, found.more), flush=True)
    for error in found.errors:
        print(f"tenantry: {error}", file=sys.stderr)
    return 1 if found.errors else 0


def _watch(question: Question, client: SyncClient, options: argparse.Namespace) -> int:
    screen = Screen()
    while True:
        try:
            found = question(client, options)
            table = [render(found.rows, found.columns, options.output, found.more)] if found.rows or not found.errors else []
            screen.show("\n".join([*table, *map(str, found.errors)]))
        except ClientError as error:
            # Keep running, so that the user sees when the gateway is back.
            screen.show(str(error))
        client.changed(WATCH_SECONDS)
