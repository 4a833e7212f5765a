"""TCP ports of this machine for servers that are told theirs, and find it free again when they start once more."""

from __future__ import annotations

import itertools
import os
import random
import socket
from pathlib import Path

_KERNEL_CHOICE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST, _LAST_KERNEL_FIRST = 10_000, 32_768


def _candidates() -> itertools.cycle[int]:
    """Those below what the kernel takes for outgoing connections, begun anywhere: other test runs have begun elsewhere."""
    try:
        end = int(_KERNEL_CHOICE.read_text().split()[0])
    except OSError:
        end = _LAST_KERNEL_FIRST
    ports = range(_FIRST, end)
    if len(ports) < 1000:
        raise RuntimeError(f"{_KERNEL_CHOICE} leaves servers no ports of their own: let it begin at {_LAST_KERNEL_FIRST}")
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        # Side by side with others of one test run, each of which has a share of its own.
        ports = ports[int(worker.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]
    begin = random.randrange(len(ports))
    return itertools.cycle([*ports[begin:], *ports[:begin]])


_next = _candidates()


def free_port() -> int:
    """A port on which nobody listens. This process gives it out once, and no outgoing connection ever gets it."""
    for port in _next:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a cycle ends")
