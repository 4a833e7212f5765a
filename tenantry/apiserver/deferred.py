"""Decisions that are made from memory at once, except where they need work that is too long for one turn of the event loop.

A decision is a synchronous function, for example an RBAC question. A caller that can wait calls it through `decided`. A decision
that needs long work then raises `Deferred` with that work. The work is done in slices, and the decision is called again. Other
callers call the decision directly, and it does the work itself, however long that takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

from tenantry.kube.status import too_many_requests

ATTEMPTS = 16
"""How often a decision is tried. It may need the RBAC of several clusters, and each of them may change while it is read."""

T = TypeVar("T")
Given = TypeVarTuple("Given")


class Deferred(Exception):
    """`work` has to be done before the decision is called again."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.work = work


class SharedWork:
    """Work that several callers need and one of them does."""

    def __init__(self) -> None:
        self._going: dict[str, asyncio.Event] = {}

    async def run(self, key: str, work: Callable[[], Awaitable[object]]) -> None:
        """Does the work. Where another caller already does the work with the same key, waits until that has ended, with success
        or not. The waiting caller then calls its decision again, which may raise `Deferred` again."""
        going = self._going.get(key)
        if going is not None:
            await going.wait()
            return
        going = self._going[key] = asyncio.Event()
        try:
            await work()
        finally:
            del self._going[key]
            going.set()


class _DeferMode:
    """Whether the current caller can wait. It is set and reset without an await in between."""

    __slots__ = ("can_wait",)

    def __init__(self) -> None:
        self.can_wait = False


_caller = _DeferMode()


def may_defer() -> bool:
    """Whether a decision may raise `Deferred` now."""
    return _caller.can_wait


def at_once(decide: Callable[[*Given], T], *given: *Given) -> T:
    """The result of `decide`. Raises Deferred; the caller then calls `decided` with the same decision and this error. For
    decisions of each request: most need no work, and a coroutine would cost more than the decision."""
    _caller.can_wait = True
    try:
        return decide(*given)
    finally:
        _caller.can_wait = False


async def decided(decide: Callable[[], T], deferred: Deferred | None = None) -> T:
    """The result of `decide`, after the work that it needs. `decide` may be called several times, so it must change nothing.
    `deferred` is the error that it raised already.

    Raises StatusError 429 where the data changes faster than the work can be done.
    """
    for _ in range(ATTEMPTS):
        if deferred is not None:
            await deferred.work()
        try:
            return at_once(decide)
        except Deferred as raised:
            deferred = raised
    raise too_many_requests("the RBAC or the types that this request rests on change faster than they can be read, try again")
