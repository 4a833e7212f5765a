"""Background tasks do not die quietly, callbacks do not starve each other, and nothing is tried for ever without a pause."""

from __future__ import annotations

import ast
import asyncio
import logging
from typing import Any

import pytest

from tenantry.base import tasks as background
from tenantry.base.tasks import FATAL, call_each, essential, restarting
from tests.support.logged import logged
from tests.support.patience import PATIENCE_SECONDS
from tests.support.sources import sources
from tests.support.waiting import one_turn, quiet


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(background, "LAST_PAUSE_SECONDS", 0.002)


async def ended(task: asyncio.Task[None]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(task, return_exceptions=True)


async def test_what_fails_or_ends_begins_again_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    runs: list[int] = []
    enough = asyncio.Event()

    async def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise ZeroDivisionError
        if len(runs) == 3:
            enough.set()
            await asyncio.Event().wait()

    task = restarting(work, name="the work")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await enough.wait()
    assert ["failed" in record.getMessage() for record in logged(caplog)] == [True, False]
    assert "ZeroDivisionError" in caplog.text
    task.cancel()
    await ended(task)
    assert task.cancelled()


async def test_what_waited_for_something_that_was_cancelled_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    """Only the owner of the task ends it."""
    runs: list[int] = []
    again = asyncio.Event()

    async def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            other: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            other.cancel()
            await other
        again.set()
        await asyncio.Event().wait()

    task = restarting(work, name="the work")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await again.wait()
    assert "the work failed" in caplog.text
    task.cancel()
    await ended(task)
    assert task.cancelled() and len(runs) == 2


async def test_work_that_may_end_is_over_when_it_returns() -> None:
    runs: list[int] = []

    async def work() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise ZeroDivisionError

    await ended(restarting(work, name="the work", ends=True))
    assert len(runs) == 3


@pytest.mark.parametrize("fails", [True, False])
async def test_the_end_of_an_essential_task_is_fatal(fails: bool) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    async def work() -> None:
        if fails:
            raise ZeroDivisionError

    await ended(essential(work(), name="the work"))
    await quiet()
    (context,) = reported
    assert context[FATAL]
    assert "the work" in context["message"]
    assert isinstance(context.get("exception"), ZeroDivisionError) is fails


async def forever() -> None:
    await asyncio.Event().wait()


async def test_nothing_is_told_of_tasks_that_end_as_they_should() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    task = essential(forever(), name="the work")
    task.cancel()
    await ended(task)
    await ended(essential(one_turn(), name="the work", ends=True))
    assert reported == []


def test_a_callback_that_raises_costs_the_others_nothing(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []

    def broken(number: int) -> None:
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR):
        call_each([seen.append, broken, seen.append], "a subscriber", 7)
    assert seen == [7, 7]
    assert "callback failed: a subscriber" in caplog.text


AWAITED = {
    "tenantry/base/tasks.py": "the one place",
    "tenantry/http/connection.py": "answers on a connection: logs every error, and ends the connection with it",
    "tenantry/client/aio.py": "catches everything itself: the client brings no metrics into the programs that use it",
}
"""Where tasks are made otherwise, and who notices their end."""


def test_every_background_task_is_supervised() -> None:
    made = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            called = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else ""
            if called in ("create_task", "ensure_future"):
                made.add(path)
    assert made - AWAITED.keys() == set(), "tasks whose death nobody notices: make them with tenantry.base.tasks"
    assert AWAITED.keys() - made == set()


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether the loop around it runs on after the handler."""
    return not any(isinstance(node, ast.Raise | ast.Return | ast.Break) for node in handler.body)


PAUSES = ("sleep", "wait", "moved", "pause")


def _pauses(nodes: list[ast.stmt]) -> bool:
    """Whether one of the statements, on the level of the loop, waits for time or for news."""
    for statement in nodes:
        for node in ast.walk(statement):
            if isinstance(node, ast.Await) and isinstance(node.value, ast.Call):
                func = node.value.func
                if (func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")) in PAUSES:
                    return True
    return False


BOUNDED_OTHERWISE = {
    "registry/service.py:_watch": "the error is the timeout that it waited for",
    "tenantry/client/aio.py:_keep_following": "one gap is followed anew at once, a second one after a pause",
    "tenantry/storage/etcd/store.py:read": "each attempt asks for half as much, and one key is the last",
    "tenantry/storage/etcd/watch.py:_response": "_failed and its own _pause back off",
    "tenantry/placement/forwarding.py:send": "a deadline, and a pause after each attempt but the one with a fresh connection",
}
"""`path:function` of a loop that goes on after an error without a pause, and what bounds it."""


def test_no_loop_goes_on_after_an_error_without_a_bound_or_a_pause() -> None:
    found = set()
    for path, tree in sources():
        for function in ast.walk(tree):
            if not isinstance(function, ast.AsyncFunctionDef):
                continue
            for loop in ast.walk(function):
                if not isinstance(loop, ast.While) or not isinstance(loop.test, ast.Constant):
                    continue
                for node in ast.walk(loop):
                    if not isinstance(node, ast.Try):
                        continue
                    after = [each for each in loop.body if each is not node]
                    for handler in node.handlers:
                        again = any(isinstance(each, ast.Continue) for each in ast.walk(handler))
                        if _goes_on(handler) and not _pauses(handler.body) and (again or not _pauses(after)):
                            found.add(f"{path}:{function.name}")
    assert found - BOUNDED_OTHERWISE.keys() == set(), "a loop that an error may keep busy for ever"
    assert BOUNDED_OTHERWISE.keys() - found == set()
