"""The `tenantry` command as a process whose standard output is a test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import IO


def executed(arguments: Sequence[str], buffered: bool, stdout: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """`buffered`: whether Python keeps what is printed to a file until there is enough of it, as it does unless it is told
    otherwise."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    if not buffered:
        environment["PYTHONUNBUFFERED"] = "1"
    command = [sys.executable, "-m", "tenantry.cli.main", *arguments]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, env=environment)
