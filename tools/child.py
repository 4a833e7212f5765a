"""A process of the product that a test or a measurement started: signalled, waited for, measured."""

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
    """Whoever starts it sets `_process`. `log` is the file of what it writes."""

    alive: ClassVar[WeakSet[Child]] = WeakSet()
    """All that this process has made and not let go of: whoever reports a failure shows their logs."""

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
        """Waits for its end; the exit code. One that does not end is killed, and that is an error."""
        process, self._process = self.process, None
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"{self.name} did not end within {seconds:g} seconds; see {self.log}") from None

    def stop(self) -> int:
        """Ends it as an operator would; the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Ends it as a crash would, unless it has ended."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self.wait()

    def memory_bytes(self) -> int:
        """Resident memory, file pages included."""
        return memory_bytes(self.pid)

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


def memory_bytes(pid: int, line: str = "VmRSS") -> int:
    """File pages included. `line`: VmRSS is what is resident now, VmHWM the most that ever was."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(entry.split()[1]) * 1024 for entry in status if entry.startswith(f"{line}:"))


def cpu_seconds(pid: int) -> float:
    """Of all its threads, those that have ended too: the process's own clock (clock_getcpuclockid(3)), which counts in
    nanoseconds where /proc counts in hundredths of a second."""
    return time.clock_gettime((~pid << 3) | 2)


def token_in(kubeconfig: Path, context: str) -> str:
    """The bearer token of a context's user."""
    config = yaml.safe_load(kubeconfig.read_text())
    user = next(c["context"]["user"] for c in config["contexts"] if c["name"] == context)
    return str(next(u["user"]["token"] for u in config["users"] if u["name"] == user))
