"""How tests wait: for conditions, and never for a time or for a number of the event loop's turns.

`tests/test_waits.py` keeps other sleeps out of the tests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.support.patience import PATIENCE_SECONDS

_POLL_SECONDS = 0.005

T = TypeVar("T")

Subscribe = Callable[[Callable[[], None]], Callable[[], None]]
"""Calls a function after each change; what it returns ends that."""


async def until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Waits for what happens on this event loop: looks at each of its turns. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - for what has no event of its own
            await asyncio.sleep(0)


async def eventually(condition: Callable[[], T], seconds: float = PATIENCE_SECONDS, what: str = "") -> T:
    """The first answer that is true: waits for what other threads and processes do, or the network, and leaves them time between
    its looks. Raises TimeoutError, which says what was waited for."""

    async def question() -> T:
        return condition()

    return await eventually_answers(question, seconds, what or str(condition))


async def eventually_answers(question: Callable[[], Awaitable[T]], seconds: float = PATIENCE_SECONDS, what: str = "") -> T:
    """As `eventually`, of a question to another process."""
    try:
        async with asyncio.timeout(seconds):
            while not (answer := await question()):  # noqa: ASYNC110 - another process has no event to wait for
                await asyncio.sleep(_POLL_SECONDS)
            return answer
    except TimeoutError:
        raise TimeoutError(f"not within {seconds:g} seconds: {what or question}") from None


async def after_changes(look: Callable[[], Awaitable[T | None]], *sources: Subscribe) -> T:
    """The first answer of `look` that is true, which is asked now, and again after each change that a source tells of.

    For what happens on this event loop and has events. Raises TimeoutError.
    """
    changed = asyncio.Event()
    stops = [subscribe(changed.set) for subscribe in sources]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                changed.clear()
                if answer := await look():
                    return answer
                await changed.wait()
    finally:
        for stop in stops:
            stop()


async def quiet(seconds: float = PATIENCE_SECONDS) -> None:
    """Returns when everything on this event loop waits for something from outside: a timer, a thread, a socket.

    A task that is not done then will not be done before something comes. Raises TimeoutError.
    """
    # asyncio does not say that its loop is about to wait. A second look: the loop asks its sockets between the two.
    loop = asyncio.get_running_loop()
    ready = vars(loop)["_ready"]
    deadline, looks = loop.time() + seconds, 0
    while looks < 2:
        # Without a timer, which the loop would keep.
        if loop.time() > deadline:
            raise TimeoutError(f"the event loop is not quiet within {seconds:g} seconds")
        await asyncio.sleep(0)
        looks = 0 if ready else looks + 1


async def one_turn() -> None:
    """Tasks that were made before have begun then, and run to their first wait: asyncio runs what is ready in order.

    For one step into something. Two of them in a row would count turns: use `quiet` or `until`.
    """
    await asyncio.sleep(0)


def wait_for(look: Callable[[], T], what: str = "", seconds: float = PATIENCE_SECONDS) -> T:
    """The first answer of `look` that is true; without an event loop. An AssertionError of `look` means: not yet.

    Raises AssertionError, which says what was waited for and what came last.
    """
    deadline = time.monotonic() + seconds
    while True:
        problem: AssertionError | None = None
        answer: T | None = None
        try:
            answer = look()
        except AssertionError as error:
            problem = error
        if answer:
            return answer
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} seconds: {what or look} (last: {answer!r})") from problem
        time.sleep(_POLL_SECONDS)
