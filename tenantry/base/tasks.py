"""Supervised background tasks. Each task has an owner that cancels it. Any other end is logged at once.

There are three kinds. A `restarting` task is restarted after a growing pause. An `essential` task may leave inconsistent state,
so its failure ends the process, and the supervisor of the process (Kubernetes, systemd) starts a new one. An `awaited` task has
an owner that takes its result or error. `asyncio.create_task` alone would report an error only when the task is
garbage-collected: ruff bans it elsewhere.
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
"""The key in the context of the loop's exception handler that means that the process must end."""

FAILURES = Counter("tenantry_background_failures", "Errors that ended a background task or were raised by a callback.")

Work = Callable[[], Coroutine[Any, Any, None]]
P = ParamSpec("P")
T = TypeVar("T")


def restarting(work: Work, *, name: str, ends: bool = False) -> asyncio.Task[None]:
    """Starts a task that restarts `work` whenever it fails, until it is cancelled. `work` must find out itself what is left to
    do.
    `ends`: the task is done when `work` returns; otherwise a return is a failure too."""
    return asyncio.create_task(_again(work, name, ends), name=name)


def essential(work: Coroutine[Any, Any, None], *, name: str, ends: bool = False) -> asyncio.Task[None]:
    """Starts a task whose failure ends the process (`fatal`). `ends`: as for `restarting`."""
    task = asyncio.create_task(_stepped(work, name), name=name)

    def ended(done: asyncio.Task[None]) -> None:
        work.close()
        if done.cancelled() or (ends and done.exception() is None):
            return
        fatal(f"background task {name} ended", done.exception())

    task.add_done_callback(ended)
    return task


def awaited(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """A task whose owner always takes its result or error, so nothing is logged here."""
    return asyncio.create_task(work, name=name)


def fatal(why: str, error: BaseException | None = None) -> None:
    """Ends the process: calls the loop's exception handler with `FATAL` in the context. `run_process` logs it and stops. Call it
    on the event loop."""
    FAILURES.inc()
    context: dict[str, Any] = {"message": why, FATAL: True}
    if error is not None:
        context["exception"] = error
    asyncio.get_running_loop().call_exception_handler(context)


def call_each(callbacks: Iterable[Callable[P, object]], what: str, *args: P.args, **kwargs: P.kwargs) -> None:
    """Calls all callbacks. If one raises, the error is counted and logged, and the others are still called. `what`: for the
    log."""
    for callback in callbacks:
        call(callback, what, *args, **kwargs)


def call(callback: Callable[P, object], what: str, *args: P.args, **kwargs: P.kwargs) -> bool:
    """Calls one of several independent callbacks. An error is counted and logged. Returns whether there was none. `what`: for the
    log."""
    try:
        callback(*args, **kwargs)
    except Exception:  # the caller continues with the others
        raised(what)
        return False
    return True


def raised(what: str) -> None:
    """Counts and logs the error that is being handled. For callers that cannot afford `call` for each event and subscriber."""
    FAILURES.inc()
    logger.exception("callback failed: %s", what)


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
            logger.error("background task %s ended, restarting", name)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something that the work waited for was cancelled, and not this task: its owner does not know.
            logger.exception("background task %s failed, restarting", name)
        except Exception:  # no error may end the work silently
            logger.exception("background task %s failed, restarting", name)
        FAILURES.inc()
        if loop.time() - began > LAST_PAUSE_SECONDS:
            backoff.reset()
        await backoff.pause()
