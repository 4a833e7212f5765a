"""A process of the product that a test or a benchmark started: signals, waiting and measurements."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import ClassVar
from weakref import WeakSet

import yaml

from tools.spawning import Running

STOP_SECONDS_MAX = 60.0


class Child:
    """A child process. The subclass that starts it sets `_process`. `log`: the file of its output."""

    alive: ClassVar[WeakSet[Child]] = WeakSet()
    """All live instances. The report of a failed test shows their logs."""

    def __init__(self, name: str, log: Path) -> None:
        Child.alive.add(self)
        self.name = name
        self.log = log
        self._process: Running | None = None

    @property
    def process(self) -> Running:
        assert self._process is not None, f"{self.name} is not running"
        return self._process

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """Waits until the process ends and returns its exit code. If it does not end in time, it is killed, which is an error."""
        process, self._process = self.process, None
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"{self.name} did not end within {seconds:g} seconds; see {self.log}") from None

    def stop(self) -> int:
        """Sends SIGTERM, waits, and returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Sends SIGKILL, unless the process has ended."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self.wait()

    def memory_bytes(self) -> int:
        """Resident memory including file pages."""
        return memory_bytes(self.pid)

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


def memory_bytes(pid: int, line: str = "VmRSS") -> int:
    """Memory of a process in bytes, including file pages. `line`: VmRSS (resident now) or VmHWM (the maximum so far)."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(entry.split()[1]) * 1024 for entry in status if entry.startswith(f"{line}:"))


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process, including ended ones.

    It is read from the clock of the process (clock_getcpuclockid(3)), which has a resolution of nanoseconds. /proc has 10 ms.
    """
    return time.clock_gettime((~pid << 3) | 2)


def token_in(kubeconfig: Path, context: str) -> str:
    """The bearer token of a context's user."""
    config = yaml.safe_load(kubeconfig.read_text())
    user = next(c["context"]["user"] for c in config["contexts"] if c["name"] == context)
    return str(next(u["user"]["token"] for u in config["users"] if u["name"] == user))
