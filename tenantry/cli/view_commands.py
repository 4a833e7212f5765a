"""`tenantry views list|forget`: the processes that serve views, by gRPC calls to the registry."""

from __future__ import annotations

import argparse
import asyncio
from operator import itemgetter
from typing import Any

from tenantry.cli import access
from tenantry.cli.output import FORMS, Columns, render


def add_commands(views: argparse.ArgumentParser) -> Any:
    """Adds the sub-commands to the parser of `tenantry views`, which without one runs a process. Returns the collection of
    sub-parsers, for others."""
    commands = views.add_subparsers(metavar="COMMAND", title="commands", description="without one: run a process of views")
    shared = access.flags()
    listing = commands.add_parser("list", parents=[shared], help="list the views that processes of their own serve")
    listing.add_argument("-o", "--output", choices=FORMS, default="table", help="output format; default: table")
    listing.set_defaults(run=access.command(lambda options: asyncio.run(_list(options))))
    forget = commands.add_parser(
        "forget", parents=[shared], help="give a view back to the shards after its processes have crashed", description=_FORGET
    )
    forget.add_argument("view", help="name of the view")
    forget.set_defaults(run=access.command(lambda options: asyncio.run(_forget(options))))
    return commands


_FORGET = (
    "Gives a view back to the shards. A process of views that stops in order does this itself. After a crash, requests for its "
    "views get 503 until a process serves them again, or until this command."
)


async def _list(options: argparse.Namespace) -> int:
    async with access.registry_client(options) as registry:
        views = await registry.views()
    rows = [row for view in views for row in _rows(view)]
    print(render(rows, _COLUMNS, options.output, _MORE))
    return 0


async def _forget(options: argparse.Namespace) -> int:
    async with access.registry_client(options) as registry:
        await registry.forget_view(options.view)
    print(f"shards serve the view {options.view}, as far as they have it")
    return 0


def _rows(view: Any) -> list[dict[str, Any]]:
    """A row for each process; one that says so for a view without any."""
    found = [
        {
            "view": view.name,
            "process": process.name,
            "uid": process.uid,
            "url": process.url,
            "version": process.version,
            "state": process.state if not process.unready else "not ready",
            "unready": process.unready,
        }
        for process in view.processes
    ]
    nothing = {"view": view.name, "process": "", "uid": "", "url": "", "version": "", "state": "no process", "unready": ""}
    return found or [nothing]


_COLUMNS: Columns = (
    ("view", itemgetter("view")),
    ("process", itemgetter("process")),
    ("state", itemgetter("state")),
    ("url", itemgetter("url")),
    ("version", itemgetter("version")),
)
_MORE: Columns = (("uid", itemgetter("uid")), ("unready", itemgetter("unready")))
