"""Runs the checks of the suite on one view."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import NamedTuple

from tenantry.cli.view_check import access, budget, reading, view_types, watching, writing
from tenantry.cli.view_check.server import ViewServer
from tenantry.cli.view_check.tried_place import Failed, Skipped, Tried
from tenantry.virtual.view import View

OK, FAILED, SKIPPED = "ok", "FAILED", "skipped"
CHECK_SECONDS = 60.0
"""How long one check may take."""

Check = Callable[[Tried], Awaitable[None]]

CHECKS: Mapping[str, Check] = {
    "discovery": reading.discovery,
    "authorization": access.authorization,
    "lists": reading.lists,
    "label-selectors": reading.label_selectors,
    "field-selectors": reading.field_selectors,
    "paging": reading.paging,
    "tables": reading.tables,
    "partial-metadata": reading.partial_metadata,
    "watches": watching.watches,
    "watch-label-selectors": watching.label_selectors,
    "watch-field-selectors": watching.field_selectors,
    "resumed-watches": watching.resumes,
    "writes": writing.writes,
    "types": view_types.types,
    "errors": access.errors,
    "budget": budget.budget,
}
"""In the order in which they run: `errors` looks at all before it, and `budget` leaves many objects behind."""


class Outcome(NamedTuple):
    """The outcome of a check. `why`: empty if it is OK."""

    check: str
    result: str
    why: str


async def check(view: type[View], names: Collection[str] = CHECKS) -> list[Outcome]:
    """The outcomes of the checks with these names, of a view that has a fixture. Raises ValueError if it has none, or if a shard
    refuses the view.

    It runs in a server of its own, so the class must not keep data of objects outside of its instances.
    """
    if view.fixture is None:
        raise ValueError(f"{view.__module__}.{view.__qualname__} has no `fixture`, which says what it is tried with")
    async with ViewServer(view) as server:
        tried = Tried(server, server.shard.views[view.name], view.fixture)
        logging.getLogger("tenantry").addHandler(tried.errors)
        try:
            try:
                await tried.prepare()
            except Failed as failed:
                return [Outcome("fixture", FAILED, str(failed))]
            return [Outcome(name, *await _outcome(run, tried)) for name, run in CHECKS.items() if name in names]
        finally:
            logging.getLogger("tenantry").removeHandler(tried.errors)


async def _outcome(run: Check, tried: Tried) -> tuple[str, str]:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await run(tried)
    except Failed as failed:
        return FAILED, str(failed)
    except Skipped as skipped:
        return SKIPPED, str(skipped)
    except TimeoutError:
        return FAILED, f"it takes longer than {CHECK_SECONDS:.0f} s"
    except Exception as error:  # an answer of a shape that no client expects is a failure of the view
        return FAILED, f"{type(error).__name__}: {error}"
    return OK, ""
