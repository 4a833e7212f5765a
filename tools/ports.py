"""Free TCP ports for servers that get a fixed port, and that can use it again after a restart."""

from __future__ import annotations

import itertools
import os
import random
import socket
from pathlib import Path

_KERNEL_CHOICE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST, _LAST_KERNEL_FIRST = 10_000, 32_768


def _candidates() -> itertools.cycle[int]:
    """The ports below the range of outgoing connections, from a random one on, so that parallel test runs use different ones."""
    try:
        end = int(_KERNEL_CHOICE.read_text().split()[0])
    except OSError:
        end = _LAST_KERNEL_FIRST
    ports = range(_FIRST, end)
    if len(ports) < 1000:
        raise RuntimeError(f"{_KERNEL_CHOICE} leaves servers no ports of their own: let it begin at {_LAST_KERNEL_FIRST}")
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        # A worker of a test run with several workers: each has its own part of the ports.
        ports = ports[int(worker.removeprefix("gw")) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]
    begin = random.randrange(len(ports))
    return itertools.cycle([*ports[begin:], *ports[:begin]])


_next = _candidates()


def free_port() -> int:
    """A port on which no process listens. It is returned only once, and no outgoing connection uses it."""
    for port in _next:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a cycle ends")
