"""A `tenantry start` of its own, for a test or a measurement: started, waited for, measured, stopped."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0


class Server:
    """Runs `tenantry start` on a directory, on free ports unless `arguments` name some. A context manager.

    The directory stays for a later start, and its log is beside it. `arguments` may be others for a later start.
    """

    def __init__(self, root: Path, *arguments: str) -> None:
        self.root = root
        self.log = root.parent / f"{root.name}.log"
        self.arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.start_seconds = 0.0

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Server:
        """Starts it and waits until it serves."""
        began = time.perf_counter()
        self.root.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        # It prints its address when it is ready to serve and not before.
        line = self._process.stdout.readline()
        self.start_seconds = time.perf_counter() - began
        if not line:
            raise RuntimeError(f"tenantry start did not come up: {self.log.read_text()[-2000:]}")
        if self.start_seconds > START_SECONDS_MAX:
            raise RuntimeError("tenantry start took too long")
        self.run: dict[str, Any] = json.loads((self.root / "run.json").read_text())
        return self

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """Waits for its end; the exit code. One that does not end is killed, and that is an error."""
        process, self._process = self._process, None
        assert process is not None and process.stdout is not None
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise RuntimeError(f"tenantry start did not end within {seconds:.0f} seconds; see {self.log}") from None
        finally:
            process.stdout.close()

    def stop(self) -> None:
        """Ends it as an operator would, unless it has ended."""
        if self._process is not None:
            self.signal(signal.SIGTERM)
            self.wait()

    def kill(self) -> None:
        """Ends it as a crash would."""
        self.signal(signal.SIGKILL)
        self.wait()

    def refusal(self, seconds: float = START_SECONDS_MAX) -> tuple[int, str]:
        """For a start that must fail: the exit code and what it wrote to standard error."""
        done = subprocess.run(self.command, capture_output=True, timeout=seconds, check=False)
        return done.returncode, done.stderr.decode()

    @property
    def command(self) -> list[str]:
        start = [sys.executable, "-m", "tenantry.cli.main", "start", "--root-directory", str(self.root)]
        return [*start, "--secure-port", "0", "--gateway-port", "0", *self.arguments]

    @property
    def kubeconfig(self) -> Path:
        return self.root / "admin.kubeconfig"

    @property
    def url(self) -> str:
        return str(self.run["url"])

    @property
    def ca(self) -> str:
        return str(self.root / "pki" / "ca.crt")

    def token(self, context: str = "shard-base") -> str:
        config = yaml.safe_load(self.kubeconfig.read_text())
        user = next(c["context"]["user"] for c in config["contexts"] if c["name"] == context)
        return str(next(u["user"]["token"] for u in config["users"] if u["name"] == user))

    def limit_file_bytes(self, limit: int) -> None:
        """From now on no file of the process may grow past `limit`: to the process, the disk is full."""
        assert self._process is not None
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def memory_bytes(self) -> int:
        """Resident memory of the process, file pages included."""
        assert self._process is not None
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")
