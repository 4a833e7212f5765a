"""Supervised background tasks. Each has an owner that cancels it; an end that its owner did not ask for is logged at once.

What follows is one of two: a `restarting` task begins again after a pause that grows; an `essential` task, which may have left
something half done, ends the process, and whoever runs that starts another one. An `awaited` task is one whose owner takes its
result or its error. `asyncio.create_task` alone would say nothing of an error until the task is garbage: ruff bans it elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec, TypeVar

from prometheus_client import Counter

from tenantry.base.backoff import Backoff
from tenantry.base.loop_turns import in_steps

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.05
LAST_PAUSE_SECONDS = 5.0
FATAL = "tenantry_fatal"
"""In the context of the loop's exception handler: the process must end."""

FAILURES = Counter("tenantry_background_failures", "Background tasks that ended by an error, and callbacks that raised one.")

Work = Callable[[], Coroutine[Any, Any, None]]
P = ParamSpec("P")
T = TypeVar("T")


def restarting(work: Work, *, name: str, ends: bool = False) -> asyncio.Task[None]:
    """A task that begins `work` again whenever it fails, until it is cancelled: for work that finds out for itself what is left
    to do. `ends`: the task is done when the work returns; otherwise a return is a failure too."""
    return asyncio.create_task(_again(work, name, ends), name=name)


def essential(work: Coroutine[Any, Any, None], *, name: str, ends: bool = False) -> asyncio.Task[None]:
    """A task without which the process must not go on: its failure is `fatal`. `ends` as for `restarting`."""
    task = asyncio.create_task(_stepped(work, name), name=name)

    def ended(done: asyncio.Task[None]) -> None:
        work.close()
        if done.cancelled() or (ends and done.exception() is None):
            return
        fatal(f"background task {name} ended", done.exception())

    task.add_done_callback(ended)
    return task


def awaited(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """A task whose owner takes its outcome in every case, so that nothing has to be logged here."""
    return asyncio.create_task(work, name=name)


def fatal(why: str, error: BaseException | None = None) -> None:
    """Has the process end: calls the loop's exception handler with `FATAL` in the context, which logs it (`run_process`). To be
    called on the loop."""
    FAILURES.inc()
    context: dict[str, Any] = {"message": why, FATAL: True}
    if error is not None:
        context["exception"] = error
    asyncio.get_running_loop().call_exception_handler(context)


def call_each(callbacks: Iterable[Callable[P, object]], what: str, *args: P.args, **kwargs: P.kwargs) -> None:
    """Calls all of them. One that raises is counted and logged, and the others are called all the same. `what` names them in the
    log."""
    for callback in callbacks:
        call(callback, what, *args, **kwargs)


def call(callback: Callable[P, object], what: str, *args: P.args, **kwargs: P.kwargs) -> bool:
    """Calls one of several that must not disturb each other; an error is counted and logged. Returns whether there was none."""
    try:
        callback(*args, **kwargs)
    except Exception:  # the caller goes on with the others
        raised(what)
        return False
    return True


def raised(what: str) -> None:
    """Counts and logs the error that is being handled. For callers that cannot afford `call` for each event and follower."""
    FAILURES.inc()
    logger.exception("%s raised", what)


async def _stepped(work: Coroutine[Any, Any, None], name: str) -> None:
    await in_steps(work, (name,))


async def _again(work: Work, name: str, ends: bool) -> None:
    loop = asyncio.get_running_loop()
    backoff = Backoff(FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS, jitter=0)
    while True:
        began = loop.time()
        try:
            await in_steps(work(), (name,))
            if ends:
                return
            logger.error("background task %s ended; it begins again", name)
        except Exception:  # any: an error that is not known here must not end the work without a word
            logger.exception("background task %s failed; it begins again", name)
        FAILURES.inc()
        if loop.time() - began > LAST_PAUSE_SECONDS:
            backoff.reset()
        await backoff.pause()
