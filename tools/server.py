"""A `tenantry start` process for a test or a benchmark."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path
from typing import Any

from tools.child import Child, token_in
from tools.spawning import Spawn, done, executed

START_SECONDS_MAX = 180.0
_POLL_SECONDS = 0.01


class Server(Child):
    """Runs `tenantry start` on a directory, on free ports unless `arguments` name ports. A context manager.

    The directory remains for a later start, which may have other `arguments`. The log is next to the directory.
    """

    def __init__(self, root: Path, *arguments: str, spawn: Spawn = executed) -> None:
        super().__init__("tenantry start", root.parent / f"{root.name}.log")
        self.root = root
        self.arguments = arguments
        self._spawn = spawn
        self.start_seconds = 0.0

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Server:
        """Starts the process and waits until it serves."""
        began = time.perf_counter()
        self.root.parent.mkdir(parents=True, exist_ok=True)
        printed = self.root.parent / f"{self.root.name}.out"
        printed.write_bytes(b"")
        self._process = self._spawn(self.command, printed, self.log)
        # It prints its address when it is ready to serve.
        while not printed.read_bytes().endswith(b"\n"):
            if not self.running:
                raise RuntimeError(f"tenantry start did not come up: {self.log.read_text()[-2000:]}")
            if time.perf_counter() - began > START_SECONDS_MAX:
                raise RuntimeError("tenantry start took too long")
            time.sleep(_POLL_SECONDS)
        self.start_seconds = time.perf_counter() - began
        self.run: dict[str, Any] = json.loads((self.root / "run.json").read_text())
        return self

    def stop(self) -> int:
        """As `Child.stop`; returns 0 if the process has already ended."""
        return super().stop() if self._process is not None else 0

    def refusal(self, seconds: float = START_SECONDS_MAX) -> tuple[int, str]:
        """Starts a process that must fail. Returns its exit code and its standard error."""
        found = done(self._spawn, self.command, seconds)
        return found.code, found.errors

    @property
    def command(self) -> list[str]:
        """The arguments of `tenantry`."""
        start = ["start", "--root-directory", str(self.root), "--secure-port", "0", "--gateway-port", "0"]
        return [*start, *self.arguments]

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
        return token_in(self.kubeconfig, context)

    def limit_file_bytes(self, limit: int) -> None:
        """Limits the size of files that the process writes. For the process, the disk is full."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
