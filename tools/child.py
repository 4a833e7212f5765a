"""A process of the product that a test or a measurement started: signalled, waited for, measured."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import yaml

STOP_SECONDS_MAX = 60.0


class Child:
    """Whoever starts it sets `_process`. `log` is the file of what it writes."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
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
        finally:
            if process.stdout is not None:
                process.stdout.close()

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
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def token_in(kubeconfig: Path, context: str) -> str:
    """The bearer token of a context's user."""
    config = yaml.safe_load(kubeconfig.read_text())
    user = next(c["context"]["user"] for c in config["contexts"] if c["name"] == context)
    return str(next(u["user"]["token"] for u in config["users"] if u["name"] == user))
