"""Counted work for each turn of the event loop.

A slice of no time makes every look at the clock the end of a turn, and pieces of one item make it look after each. What runs
between two turns is then the least that the code ever does at once, on any machine: it must not depend on how much there is.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

import pytest

from tenantry.base import time_slices


class Turn:
    """The longest turn in lines that ran, and the functions that were called most in it."""

    def __init__(self) -> None:
        self.longest = 0
        self.where: list[str] = []
        self._lines = 0
        self._places: dict[CodeType, int] = {}

    def line(self, frame: FrameType, event: str, argument: Any) -> Any:
        self._lines += 1
        return self.line

    def call(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code.co_name == "_run_once" and code.co_filename.endswith("base_events.py"):
            self.ended()
        # Only what the project wrote: the loop's own work is not in question.
        if "/tenantry/" not in code.co_filename:
            return None
        self._places[code] = self._places.get(code, 0) + 1
        return self.line

    def ended(self) -> None:
        if self._lines > self.longest:
            self.longest = self._lines
            most = sorted(self._places.items(), key=lambda place: -place[1])[:4]
            self.where = [f"{code.co_qualname} {times} times" for code, times in most]
        self._lines, self._places = 0, {}


@contextmanager
def counted_turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Turn]:
    """Counts while it is entered; slices last no time meanwhile."""
    monkeypatch.setattr(time_slices.turns, "_slice_seconds", 0.0)
    monkeypatch.setattr(time_slices, "PIECE", 1)
    turn = Turn()
    previous = sys.gettrace()
    sys.settrace(turn.call)
    try:
        yield turn
    finally:
        sys.settrace(previous)
        turn.ended()
