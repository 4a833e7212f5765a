"""The Go programs in tests/clients: client-go's dynamic informers, one for each URL of an endpoint slice, and a manager of
controller-runtime on one URL."""

from __future__ import annotations

import fcntl
import json
import queue
import subprocess
import threading
from pathlib import Path
from typing import Any, Self

from tests.support.tools import program

CLIENTS = Path(__file__).parent.parent / "clients"
LINE_SECONDS = 150.0
COWBOYS = ("-slice", "cowboys", "-group", "example.com", "-resource", "cowboys", "-field", "spec.intent")


def built(name: str, folder: Path) -> Path:
    """The program `name`, built into a directory; skips the test, or fails it, where there is no Go."""
    go = program("go", "it comes with golang-go")
    binary, source = folder / name, CLIENTS / name
    with (CLIENTS / "informers" / "main.go").open() as lock:
        # Of several workers the first one fills the cache of Go, which takes minutes. Not go.mod: Go itself locks that.
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([go, "build", "-o", str(binary), "."], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return binary


class Informers:
    """The running program, a context manager: its events and requests as they come, and the contents of its caches when asked."""

    def __init__(self, binary: Path, kubeconfig: Path, *following: str) -> None:
        """`following`: the flags that say what it follows and reports; by default the informers of the cowboys of a slice."""
        self.events: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self._snapshots: queue.Queue[dict[str, Any]] = queue.Queue()
        self._ready = threading.Event()
        arguments = following or COWBOYS
        self._process = subprocess.Popen(
            [str(binary), "-kubeconfig", str(kubeconfig), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        if not self._ready.wait(LINE_SECONDS):
            self._process.kill()
            raise AssertionError(f"the program has not become ready: {self.requests} {self.events} {self.stop()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Raises AssertionError where the program panicked."""
        complaints = self.stop()
        assert "panic" not in complaints, complaints

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "snapshot":
                self._snapshots.put(event)
            elif event["event"] == "ready":
                self._ready.set()
            elif event["event"] in ("list", "watch"):
                self.requests.append(event)
            else:
                self.events.append(event)

    def snapshot(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._snapshots.get(timeout=LINE_SECONDS)

    def caches(self) -> dict[str, str]:
        # Go leaves an empty map out.
        found: dict[str, str] = self.snapshot().get("caches") or {}
        return found

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [e for e in list(self.events) if e["event"] == kind]

    def stop(self) -> str:
        """Ends the program; what it complained about."""
        assert self._process.stdin is not None and self._process.stderr is not None
        self._process.stdin.close()
        complaints = self._process.stderr.read()
        self._process.wait(LINE_SECONDS)
        self._reader.join()
        return complaints
