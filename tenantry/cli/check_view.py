"""`tenantry views check`: tries an installed view, or a class, as clients use it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from operator import itemgetter
from typing import Any

from tenantry.base.garbage import importing
from tenantry.cli.output import FORMS, render

_COLUMNS = (("check", itemgetter("check")), ("result", itemgetter("result")), ("why", itemgetter("why")))


def add_command(commands: Any) -> None:
    """Adds the sub-command to an argparse sub-parser collection."""
    check = commands.add_parser(
        "check",
        help="try a view of a package as clients use it",
        description="Runs the view in a server in memory with the objects of its `fixture`, and looks at it as clients do. "
        "Exits with 1 if a check fails.",
    )
    check.add_argument("view", help="name of an installed view, or module:Class")
    check.add_argument("-o", "--output", choices=FORMS, default="table", help="output format; default: table")
    check.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    # Importing a server takes about a second, so it is done only for this command.
    with importing():
        from tenantry.cli.view_check.run import FAILED, check

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    logging.getLogger("tenantry").addHandler(logging.NullHandler())
    try:
        outcomes = asyncio.run(check(_class_of(options.view)))
    except (ImportError, LookupError, TypeError, ValueError) as error:
        print(f"tenantry: {error}", file=sys.stderr)
        return 2
    print(render([outcome._asdict() for outcome in outcomes], _COLUMNS, options.output))
    return 1 if any(outcome.result == FAILED for outcome in outcomes) else 0


def _class_of(name: str) -> Any:
    """The class of a view. Raises LookupError, ImportError, and TypeError if it is no View."""
    from tenantry.virtual.installed_views import ENTRY_POINT_GROUP, check_version
    from tenantry.virtual.view import View

    module, _, path = name.partition(":")
    if path:
        found: Any = import_module(module)
        for part in path.split("."):
            if not hasattr(found, part):
                raise LookupError(f"{module} has no {path}")
            found = getattr(found, part)
    else:
        points = [point for point in entry_points(group=ENTRY_POINT_GROUP) if point.name == name or point.load().name == name]
        if not points:
            known = sorted(point.name for point in entry_points(group=ENTRY_POINT_GROUP))
            raise LookupError(f"no installed package has a view named {name}; there are: {', '.join(known) or 'none'}")
        found = points[0].load()
    if not (isinstance(found, type) and issubclass(found, View)):
        raise TypeError(f"{name} is no subclass of View")
    check_version(found)
    return found
