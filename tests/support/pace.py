"""How fast this machine is, for tests that assert how long something takes between several processes."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from tools.server import Server

REFERENCE_SECONDS = 0.96
"""`first start to ready` in docs/benchmarks.md: of the machine on which the bounds of such tests were set."""


@cache
def stretch() -> float:
    """What bounds in seconds are multiplied by: how many times longer than there a server takes from its start until it serves. 1
    on a machine that is as fast, or faster: then the bounds hold as they are written."""
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "tenantry") as server:
        return max(1.0, server.start_seconds / REFERENCE_SECONDS)


def session_ttl(most_seconds: float) -> tuple[str, str]:
    """Flags of shards whose sessions outlive the pauses of this machine as the default does those of a fast one."""
    return "--session-ttl-seconds", f"{min(most_seconds, 2.0 * stretch()):.1f}"
