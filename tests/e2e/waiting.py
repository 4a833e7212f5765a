"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from tests.support.patience import PATIENCE_SECONDS

T = TypeVar("T")

"""For what must come, however slow the machine is; how soon it comes is another test's."""
_PAUSE_SECONDS = 0.02


def eventually(check: Callable[[], T], what: str = "", seconds: float = PATIENCE_SECONDS) -> T:
    """The first true result of `check`. Until then a false result and an AssertionError both mean: not yet."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        problem: AssertionError | None = None
        result: T | None = None
        try:
            result = check()
        except AssertionError as error:
            problem = error
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} seconds: {what or check} (last: {result!r})") from problem
        pause.wait(_PAUSE_SECONDS)
