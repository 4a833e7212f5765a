"""Output that is updated: a terminal is redrawn in place; to a file or pipe, each different text is printed."""

from __future__ import annotations

import os
import select
import shutil
import sys
from typing import TextIO

_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_CLEAR = "\x1b[2J"
BAR_CELLS = 30


class Screen:
    """Shows a text, and later replaces it. `show` takes the whole text.

    `show` raises BrokenPipeError if the reader of a pipe is gone, also if the text has not changed.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._live = self._out.isatty()
        self._last: str | None = None

    @property
    def shown(self) -> bool:
        """Whether a text was shown."""
        return self._last is not None

    @property
    def lines(self) -> int:
        """How many lines fit on the terminal; 1000 for a file or pipe."""
        return shutil.get_terminal_size().lines if self._live else 1000

    def show(self, text: str) -> None:
        if self._live:
            first = _CLEAR if self._last is None else ""
            size = shutil.get_terminal_size()
            # Lines are cut, because wrapped lines would scroll the first ones away.
            fitting = [line[: size.columns] for line in text.split("\n")[: size.lines - 1]]
            self._out.write(first + _HOME + "".join(f"{line}{_CLEAR_LINE}\n" for line in fitting) + _CLEAR_BELOW)
        elif text != self._last:
            self._out.write(("" if self._last is None else "\n") + text + "\n")
        elif _abandoned(self._out):
            raise BrokenPipeError
        self._last = text
        self._out.flush()


def _abandoned(out: TextIO) -> bool:
    """Whether it is a pipe whose reader is gone. Without a write, only poll reports that."""
    try:
        descriptor = out.fileno()
    except OSError:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


class ProgressBar:
    """A progress bar on standard error: on a terminal in place, else one line for each change."""

    def __init__(self, what: str, total: int, out: TextIO | None = None) -> None:
        self._what = what
        self._total = total
        self._out = out or sys.stderr
        self._live = self._out.isatty() and os.environ.get("TERM") != "dumb"
        self._done = -1

    def show(self, done: int, more: str = "") -> None:
        if done == self._done:
            return
        self._done = done
        filled = BAR_CELLS if self._total == 0 else BAR_CELLS * done // self._total
        line = f"{self._what} [{'#' * filled}{'.' * (BAR_CELLS - filled)}] {done}/{self._total}{more}"
        self._out.write(f"\r{line}{_CLEAR_LINE}" if self._live else f"{line}\n")
        self._out.flush()

    def end(self) -> None:
        if self._live and self._done >= 0:
            self._done = -1
            self._out.write("\n")
            self._out.flush()
