"""The `tenantry` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tenantry.cli import probe


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(given).parse_args(given)
    code: int = options.run(options)
    return code


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    if given[:1] == ["probe"]:
        # Every container is asked every few seconds, and what the other commands import costs several times what asking does.
        top = argparse.ArgumentParser(prog="tenantry")
        probe.add_command(top.add_subparsers(required=True))
        return top
    from tenantry.cli.commands import parser

    return parser()


if __name__ == "__main__":
    sys.exit(main())
