"""Background tasks: each has an owner that cancels it, and an end that nobody asked for is logged at once and has a consequence.

By rule one of two: the part begins again, after a pause that grows, or, where it may have left something half done, the process
ends, and whoever runs it starts another one. `asyncio.create_task` alone would keep the error until the task is collected.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec

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


def restarting(work: Work, *, name: str, ends: bool = False) -> asyncio.Task[None]:
    """A task that begins `work` again whenever it fails, until it is cancelled. `ends`: a return is its proper end; otherwise
    that is a failure too. For work that finds out for itself what is to be done."""
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


def fatal(why: str, error: BaseException | None = None) -> None:
    """Logs, and has the process end: its loop's exception handler is told so. To be called on the loop."""
    FAILURES.inc()
    context: dict[str, Any] = {"message": why, FATAL: True}
    if error is not None:
        context["exception"] = error
    asyncio.get_running_loop().call_exception_handler(context)


def call_each(callbacks: Iterable[Callable[P, object]], what: str, *args: P.args, **kwargs: P.kwargs) -> None:
    """Calls all of them, whatever one raises: a follower's bug must not cost the others their news. `what` names them in the
    log."""
    for callback in callbacks:
        call(callback, what, *args, **kwargs)


def call(callback: Callable[P, object], what: str, *args: P.args, **kwargs: P.kwargs) -> bool:
    """Calls one of several that must not disturb each other; whether it returned."""
    try:
        callback(*args, **kwargs)
    except Exception:  # whose bug it is, is in the log; the callers go on
        raised(what)
        return False
    return True


def raised(what: str) -> None:
    """Counts and logs the error that is handled now, where `call` would cost too much: once for each event of each follower."""
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
