"""Checks how long methods of a view keep the event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

from tenantry.apiserver import records
from tenantry.apiserver.authorization import Attributes
from tenantry.cli.view_check.tried_place import Failed, Tried, renamed
from tenantry.storage.record import Record
from tenantry.virtual.computed.computed_view import ComputedView
from tenantry.virtual.fixture import Given

BUDGET_SECONDS = 0.001
"""The longest time for one call, with OBJECTS in the workspace of each object of the fixture that the view serves."""
OBJECTS = 1_000
_TRIES = 5
"""The shortest time of so many counts: what else the machine does is no fault of the view."""


async def budget(tried: Tried) -> None:
    """No method takes longer than BUDGET_SECONDS."""
    view, place, user = tried.view, tried.place, tried.user
    served = {(each.api_version, each.kind) for each in await tried.resources()}
    for given in tried.fixture.given:
        if (given.obj.get("apiVersion"), given.obj.get("kind")) in served:
            await _many(tried, given)
            break
    definitions = list(view.apis(place))
    question = Attributes(user, "list", place.cluster or "*", definitions[0].group, "", definitions[0].plural)
    _within("allows", lambda: view.allows(place, question))
    _within("apis", lambda: list(view.apis(place)))
    if not view.per_cluster:
        _within("cluster_of", lambda: view.cluster_of(place.arguments))
    _within("ready", view.ready)
    _within("seeing", lambda: view.seeing(place, user))
    if isinstance(view, ComputedView):
        for _ in range(_TRIES):
            slowest = max(_slices(view.compute(place, view.context.collections.sources(tried.range))), default=0.0)
            if slowest <= BUDGET_SECONDS:
                return
        raise Failed(f"`compute` takes {_text(slowest)} between two items, which is longer than {_text(BUDGET_SECONDS)}")
    sees = view.seeing(place, user)
    for definition in definitions:
        for record in list(tried.range.list(definition.storage_key, tried.cluster))[:_TRIES]:
            _within("sees", lambda record=record: sees(record))  # type: ignore[misc]
            shape = definition.storage_version

            def show(record: Record = record, definition: Any = definition, shape: str = shape) -> object:
                return view.show(place, user, records.decode(record, definition, shape))

            _within("show", show)


async def _many(tried: Tried, given: Given) -> None:
    for number in range(OBJECTS):
        await tried.create(Given(given.workspace, renamed(given.obj, f"{given.obj['metadata']['name']}-{number}"), given.user))


def _within(method: str, call: Callable[[], object]) -> None:
    took = min(_seconds(call) for _ in range(_TRIES))
    if took > BUDGET_SECONDS:
        raise Failed(f"`{method}` takes {_text(took)}, which is longer than {_text(BUDGET_SECONDS)}")


def _seconds(call: Callable[[], object]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began


def _slices(items: Iterator[object]) -> Iterator[float]:
    """The time of each slice of a computation."""
    while True:
        began = perf_counter()
        try:
            next(items)
        except StopIteration:
            yield perf_counter() - began
            return
        yield perf_counter() - began


def _text(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
