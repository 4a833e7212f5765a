"""A real etcd as a child process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.tools import program
from tools.ports import free_port

# Members on one machine need little patience with each other; one that is alone is up in some 30 ms.
ALONE = ("--heartbeat-interval=10", "--election-timeout=100")
TOGETHER = ("--heartbeat-interval=50", "--election-timeout=500")


def memory_directory() -> Path:
    """Where fsync costs nothing, if there is such a place."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


def etcd_program() -> str:
    """Its path. Where there is none the test is skipped, or fails if clients are required."""
    return os.environ.get("ETCD") or program("etcd", "apt-get install etcd-server")


class EtcdServer:
    """`ETCD` in the environment names another program than the `etcd` of the path. Data outlives `kill`, not `stop`.

    `extra`: further arguments, which may be others for a later start.
    """

    def __init__(self, *, tls: Sequence[str] = (), directory: Path | None = None, extra: Sequence[str] = ()) -> None:
        self.program = etcd_program()
        self.port = free_port()
        scheme = "https" if tls else "http"
        self.name = f"member-{self.port}"
        self.peer = f"http://127.0.0.1:{free_port()}"
        self.members = [self]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="etcd-", dir=directory or memory_directory()))
        self.extra = extra
        self._tls = tls
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def cluster(cls, count: int, *, extra: Sequence[str] = ()) -> list[EtcdServer]:
        """The members of one cluster, not started yet."""
        members = [cls(extra=extra) for _ in range(count)]
        for member in members:
            member.members = members
        return members

    def start(self) -> None:
        """Returns at once; a client waits until it answers."""
        self._process = subprocess.Popen(
            [
                self.program,
                f"--name={self.name}",
                f"--data-dir={self.directory / 'data'}",
                f"--listen-client-urls={self.url}",
                f"--advertise-client-urls={self.url}",
                f"--listen-peer-urls={self.peer}",
                f"--initial-advertise-peer-urls={self.peer}",
                f"--initial-cluster={','.join(f'{member.name}={member.peer}' for member in self.members)}",
                "--log-level=error",
                *(ALONE if len(self.members) == 1 else TOGETHER),
                *self._tls,
                *self.extra,
            ],
            stdout=subprocess.DEVNULL,
            stderr=(self.directory / "log").open("ab"),
        )

    def log(self) -> str:
        """What it wrote since it was made: errors, unless `extra` says otherwise."""
        return (self.directory / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """SIGKILL; what was acknowledged is on disk."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def stop(self) -> None:
        self.kill()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory)
