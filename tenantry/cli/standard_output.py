"""Standard output of the commands: what could not be written is an error, or the end where nobody reads any more."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any


def all_written(run: Callable[[], int]) -> int:
    """The exit code of `run`, once all that it printed is written.

    Without this, Python writes the rest while it ends: a failure is then a traceback and the exit code 120. Here an OSError of
    `run` or of the last write is one line on standard error and the exit code 1. A reader that is gone, as `head` is, has seen
    enough: exit code 0. Where `run` has failed already, its own exit code stays.
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
    """argparse's own loses what it cannot write of a help text, and ends with a success."""

    def print_help(self, file: Any = None) -> None:
        """Raises OSError."""
        print(self.format_help(), end="", file=file)


class VersionAction(argparse.Action):
    """`--version`: prints `const` and ends with the exit code 0. Raises OSError where it cannot be written."""

    def __init__(self, option_strings: list[str], dest: str, const: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, const=const, help="show program's version number and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print(self.const)
        parser.exit()


def _flush() -> None:
    # None where the process was started without one.
    if sys.stdout is not None:
        sys.stdout.flush()


def _write_rest() -> None:
    try:
        _flush()
    except OSError:
        _drop()


def _drop() -> None:
    """Python still holds what could not be written, and would try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
