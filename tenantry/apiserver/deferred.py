"""Decisions that are made from memory at once, except where they need work that is too long for one turn of the event loop.

A decision is a synchronous function, for example an RBAC question. A caller that can wait calls it through `decided`. A decision
that needs long work then raises `Deferred` with that work. The work is done in slices, and the decision is called again. Other
callers call the decision directly, and it does the work itself, however long that takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TypeVar, TypeVarTuple

from tenantry.http.messages import Place
from tenantry.kube.status import StatusError, too_many_requests

ATTEMPTS = 16
"""How often a decision is tried. It may need the RBAC of several clusters, and each of them may change while it is read."""

QUESTIONS_MAX = 256
"""How many questions to other servers one decision may need: an impersonation has one for each group."""

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


class Question(Deferred):
    """Another server has to be asked before the decision is called again. Its answer, the result of `ask`, is known to that
    decision alone (`answer_to`): the one that asks keeps it for others. `key`: of the question."""

    def __init__(self, key: Hashable, ask: Callable[[], Awaitable[object]]) -> None:
        self.key = key
        self.ask = ask
        super().__init__(self._ask)

    async def _ask(self) -> None:
        await self.ask()


class _DeferMode:
    """Whether the current caller can wait, and the answers to its questions so far. It is set and reset without an await in
    between."""

    __slots__ = ("answers", "can_wait")

    def __init__(self) -> None:
        self.can_wait = False
        self.answers: Mapping[Hashable, object] = {}


_caller = _DeferMode()
_NO_ANSWERS: Mapping[Hashable, object] = {}


def may_defer() -> bool:
    """Whether a decision may raise `Deferred` now."""
    return _caller.can_wait


def answer_to(key: Hashable) -> object | None:
    """The answer to a question that this decision has raised before; None where it has not."""
    return _caller.answers.get(key)


def at_once(decide: Callable[[*Given], T], *given: *Given) -> T:
    """The result of `decide`. Raises Deferred; the caller then calls `decided` with the same decision and this error. For
    decisions of each request: most need no work, and a coroutine would cost more than the decision."""
    _caller.can_wait = True
    try:
        return decide(*given)
    finally:
        _caller.can_wait = False


class Waiting:
    """One decision that is made several times, by a caller that can wait: it remembers the answers to its questions.

    `place`: that of the request, which another request has while a question is asked.

    `at_once(decide, …)` calls the decision. Where it raises Deferred, `work(deferred)` does what it needs before the next call,
    and raises StatusError 429 where the data changes faster than the work can be done, or where there are too many questions.
    """

    __slots__ = ("_answers", "_attempts", "_place")

    def __init__(self, place: Place | None = None) -> None:
        self._place = place
        self._answers: dict[Hashable, object] = {}
        self._attempts = 0

    def at_once(self, decide: Callable[[*Given], T], *given: *Given) -> T:
        _caller.answers, _caller.can_wait = self._answers, True
        try:
            return decide(*given)
        finally:
            _caller.answers, _caller.can_wait = _NO_ANSWERS, False

    async def work(self, deferred: Deferred) -> None:
        if self._attempts >= ATTEMPTS or len(self._answers) >= QUESTIONS_MAX:
            raise _never_decided()
        if isinstance(deferred, Question):
            asked = deferred.ask()
            self._answers[deferred.key] = await (asked if self._place is None else self._place.away(asked))
        else:
            self._attempts += 1
            await deferred.work()


async def decided(decide: Callable[[], T], deferred: Deferred | None = None, *, place: Place | None = None) -> T:
    """The result of `decide`, after the work that it needs. `decide` may be called several times, so it must change nothing.
    `deferred` is the error that it raised already. `place`: that of the request, if any (`Waiting`).

    Raises StatusError 429 where the data changes faster than the work can be done, or where it asks too many questions.
    """
    waiting = Waiting(place)
    for _ in range(ATTEMPTS + QUESTIONS_MAX + 1):
        if deferred is not None:
            await waiting.work(deferred)
        try:
            return waiting.at_once(decide)
        except Deferred as raised:
            deferred = raised
    raise _never_decided()


def _never_decided() -> StatusError:
    return too_many_requests("the RBAC or the types that this request rests on change faster than they can be read, try again")
