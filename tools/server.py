"""A `tenantry start` of its own, for a test or a measurement: started, waited for, measured, stopped."""

from __future__ import annotations

import json
import os
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
    """Runs `tenantry start` on a directory. A context manager; the directory stays for a later start."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self.root = root
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self.start_seconds = 0.0

    def __enter__(self) -> Server:
        began = time.perf_counter()
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root.parent / f"{self.root.name}.log").open("ab") as log:
            command = [sys.executable, "-m", "tenantry.cli.main", "start", "--root-directory", str(self.root)]
            self._process = subprocess.Popen(
                [*command, "--secure-port", "0", "--gateway-port", "0", *self._arguments],
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self._process.stdout is not None
        # It prints its address when it is ready to serve and not before.
        line = self._process.stdout.readline()
        self.start_seconds = time.perf_counter() - began
        if not line:
            raise RuntimeError(f"tenantry start did not come up; see {self.root}.log")
        if self.start_seconds > START_SECONDS_MAX:
            raise RuntimeError("tenantry start took too long")
        self.run: dict[str, Any] = json.loads((self.root / "run.json").read_text())
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def url(self) -> str:
        return str(self.run["url"])

    @property
    def ca(self) -> str:
        return str(self.root / "pki" / "ca.crt")

    def token(self, context: str = "shard-base") -> str:
        config = yaml.safe_load((self.root / "admin.kubeconfig").read_text())
        user = next(c["context"]["user"] for c in config["contexts"] if c["name"] == context)
        return str(next(u["user"]["token"] for u in config["users"] if u["name"] == user))

    def memory_bytes(self) -> int:
        """Resident memory of the process, file pages included."""
        assert self._process is not None
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def cpu_seconds(self) -> float:
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
