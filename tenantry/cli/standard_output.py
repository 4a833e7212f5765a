"""Standard output of the commands: a failed write is an error; a closed pipe ends the command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any


def all_written(run: Callable[[], int]) -> int:
    """Calls `run`, flushes standard output, and returns the exit code.

    Without this, Python flushes at exit, and a failure is a traceback with exit code 120. Here, an OSError of `run` or of the
    flush is one line on standard error and exit code 1. If the reader of a pipe is gone (`head`), the exit code is 0. If `run`
    failed, its exit code is returned.
    """
    try:
        code = run()
        if code:
            _write_rest()
        else:
            _flush()
        return code
    except BrokenPipeError:
        _drop()
        return 0
    except OSError as error:
        print(f"tenantry: {error}", file=sys.stderr)
        _write_rest()
        return 1


class Parser(argparse.ArgumentParser):
    """A parser that reports failed writes. argparse ignores errors when it prints a help text, and exits with 0."""

    def print_help(self, file: Any = None) -> None:
        """Raises OSError."""
        print(self.format_help(), end="", file=file)


class VersionAction(argparse.Action):
    """`--version`: prints `const` and exits with 0. Raises OSError if the write fails."""

    def __init__(self, option_strings: list[str], dest: str, const: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, const=const, help="show program's version number and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(self.const)
        parser.exit()


def _flush() -> None:
    # It is None if the process was started without standard output.
    if sys.stdout is not None:
        sys.stdout.flush()


def _write_rest() -> None:
    try:
        _flush()
    except OSError:
        _drop()


def _drop() -> None:
    """Redirects standard output to /dev/null: Python would write its buffer again at exit and fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
