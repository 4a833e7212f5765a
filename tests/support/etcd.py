"""A real etcd as a child process."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.tools import program
from tools.child import Child
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


class EtcdServer(Child):
    """`ETCD` in the environment names another program than the `etcd` of the path. Data outlives `kill`, not `stop`.

    `extra`: further arguments, which may be others for a later start.
    """

    def __init__(self, *, tls: Sequence[str] = (), directory: Path | None = None, extra: Sequence[str] = ()) -> None:
        self.program = etcd_program()
        self.port = free_port()
        scheme = "https" if tls else "http"
        self.peer = f"http://127.0.0.1:{free_port()}"
        self.members = [self]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self.directory = Path(tempfile.mkdtemp(prefix="etcd-", dir=directory or memory_directory()))
        super().__init__(f"member-{self.port}", self.directory / f"etcd-{self.port}.log")
        self.extra = extra
        self._tls = tls

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
            stderr=self.log.open("ab"),
        )

    def signal(self, number: int) -> None:
        """Nothing where it does not run."""
        if self.running:
            super().signal(number)

    def stop(self) -> int:
        """Kills it, and removes its data."""
        self.kill()
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.directory)
        return 0
