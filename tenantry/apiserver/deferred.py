"""Decisions that are made from memory at once, unless they need work that is too long for one turn of the loop.

A decision is a synchronous function that is called from many places. A caller that can wait calls it through `decided`. Then a
decision that needs long work raises `Deferred` with that work; the work is done in slices, and the decision is called again.
Other callers call it directly, and it does the work itself, however long that takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

from tenantry.kube.status import too_many_requests

ATTEMPTS = 16
"""A decision may need the RBAC of several clusters, each of which may change while it is gone through."""

T = TypeVar("T")
Given = TypeVarTuple("Given")


class Deferred(Exception):
    """`work` has to be done before the decision is asked again."""

    def __init__(self, work: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.work = work


class Once:
    """Work that several callers need, and one of them does."""

    def __init__(self) -> None:
        self._going: dict[str, asyncio.Event] = {}

    async def run(self, key: str, work: Callable[[], Awaitable[object]]) -> None:
        """Does the work, or waits until another caller's work with the same key has ended, whether it succeeded or not: a caller
        that waited calls its decision again, and does then what is left."""
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


class _Asked:
    """Whether the caller of the code that runs now can wait. Set and unset without an await in between."""

    __slots__ = ("can_wait",)

    def __init__(self) -> None:
        self.can_wait = False


_asked = _Asked()


def may_defer() -> bool:
    """Whether `Deferred` may be raised."""
    return _asked.can_wait


def at_once(decide: Callable[[*Given], T], *given: *Given) -> T:
    """What `decide` returns. Raises Deferred; the caller then calls `decided` with the same decision and that error. For
    decisions of each request: mostly no work is needed, and a coroutine would cost more than the decision."""
    _asked.can_wait = True
    try:
        return decide(*given)
    finally:
        _asked.can_wait = False


async def decided(decide: Callable[[], T], deferred: Deferred | None = None) -> T:
    """What `decide` returns, after the work that it needs. It may be called several times, so it must change nothing. `deferred`:
    what it raised already.

    Raises StatusError 429 where its data changes faster than the work on it is done.
    """
    for _ in range(ATTEMPTS):
        if deferred is not None:
            await deferred.work()
        try:
            return at_once(decide)
        except Deferred as raised:
            deferred = raised
    raise too_many_requests("the RBAC or the types that this request rests on change faster than they can be read, try again")
