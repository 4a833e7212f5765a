"""Which settings a command of the product takes from its environment."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from tenantry.cli.commands import parser

FOR_COMMANDS = {"TENANTRY_PROBE_URL", "TENANTRY_ROOT_DIRECTORY", "TENANTRY_GATEWAY", "TENANTRY_REGISTRY"}
"""What commands take that are run beside a process, in its container."""


def unknown_variables(command: str, names: Iterable[str]) -> list[str]:
    """Those of the variables that `tenantry <command>` would ignore."""
    sub_commands = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    flags = sub_commands.choices[command]._actions
    known = {f"TENANTRY_{action.dest.upper()}" for action in flags}
    return sorted(name for name in names if name not in known | FOR_COMMANDS)
