"""The `tenantry` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tenantry.base.garbage import importing
from tenantry.cli import probe
from tenantry.cli.standard_output import Parser, all_written


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Raises SystemExit(2) for wrong usage."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return all_written(lambda: _run(given))


def _run(given: Sequence[str]) -> int:
    try:
        options = _parser(given).parse_args(given)
    except SystemExit as ended:
        if ended.code:
            raise
        # argparse printed a help text or the version.
        return 0
    code: int = options.run(options)
    return code


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    if given[:1] == ["probe"]:
        # Containers are probed every few seconds, and importing the other commands takes several times as long as a probe.
        top = Parser(prog="tenantry")
        probe.add_command(top.add_subparsers(required=True))
        return top
    with importing():
        from tenantry.cli.commands import parser

    return parser()


if __name__ == "__main__":
    sys.exit(main())
