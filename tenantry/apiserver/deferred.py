"""Decisions that are made from memory at once, unless what they need first is too long for one turn of the loop.

A decision is a synchronous function, asked from many places. Where the caller can wait, it asks through `decided`: what would
take long then raises `Deferred` with the work, which is done in slices, and the decision is asked again. Anywhere else it is made
as it is, however long that takes.
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
    """Work that many wait for, and one of them does."""

    def __init__(self) -> None:
        self._going: dict[str, asyncio.Event] = {}

    async def run(self, key: str, work: Callable[[], Awaitable[object]]) -> None:
        """Does the work, or waits for the end of what another does under the same key, whether that ends well or not: who waited
        asks its decision again, and does then what is left to be done."""
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
    """Whether the code that runs now was called by someone who can wait. Set and unset without an await in between."""

    __slots__ = ("can_wait",)

    def __init__(self) -> None:
        self.can_wait = False


_asked = _Asked()


def may_defer() -> bool:
    """Whether `Deferred` may be raised."""
    return _asked.can_wait


def at_once(decide: Callable[[*Given], T], *given: *Given) -> T:
    """What `decide` returns, for a caller that handles `Deferred` by asking `decided`, with the error, what it asked here. For
    what each request asks: mostly nothing is left to be done before, and a coroutine would cost more than the decision."""
    _asked.can_wait = True
    try:
        return decide(*given)
    finally:
        _asked.can_wait = False


async def decided(decide: Callable[[], T], deferred: Deferred | None = None) -> T:
    """What `decide` returns once nothing is left to be done before. It may be called again and again, so it must change nothing.
    `deferred`: what it raised already.

    Raises StatusError 429 where what it rests on changes faster than it can be gone through.
    """
    for _ in range(ATTEMPTS):
        if deferred is not None:
            await deferred.work()
        try:
            return at_once(decide)
        except Deferred as raised:
            deferred = raised
    raise too_many_requests("the RBAC or the types that this request rests on change faster than they can be read, try again")
