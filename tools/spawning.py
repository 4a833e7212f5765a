"""Starts processes of the product: by executing the command, or by forking a process that has imported everything.

Imports take longer than the rest of a start. Tests start hundreds of processes, so they fork. Benchmarks, and tests of how users
start the product, execute. From the first line of the command on, both are the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Protocol

MODULES = ("tenantry.cli.commands", "tenantry.cli.start", "registry.main", "shard.main", "gateway.main", "views.main")
"""The modules that the commands import when they run."""
_PYTHONPATH = os.environ.get("PYTHONPATH")
_reading = threading.Lock()
"""Held while exit codes are read. multiprocessing reads one from a pipe, also of any child when it starts another one. If two
threads read it, one of them finds an empty pipe and reports 255."""


class Running(Protocol):
    """The part of `subprocess.Popen` that is used here."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the exit code. Raises subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None: ...

    def kill(self) -> None: ...


Spawn = Callable[[Sequence[str], Path, Path], Running]
"""Starts `tenantry` with arguments. Standard output is appended to the first file, standard error to the second one."""


def executed_by(*python: str) -> Spawn:
    """Executes processes. `python`: the command of an interpreter whose environment has the product."""

    def spawn(arguments: Sequence[str], printed: Path, errors: Path) -> Running:
        command = [*python, "-m", "tenantry.cli.main", *arguments]
        with printed.open("ab") as out, errors.open("ab") as err:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    return spawn


executed = executed_by(sys.executable)


def forked(arguments: Sequence[str], printed: Path, errors: Path) -> Running:
    """Forks a process. It gets the present environment, but variables that affect imports must not have changed."""
    assert os.environ.get("PYTHONPATH") == _PYTHONPATH, "a process that is to import something else has to be executed"
    for path in (printed, errors):
        path.touch()
    # A daemon of multiprocessing: when this process ends, it is terminated and not awaited.
    process = _server().Process(target=_run, args=(list(arguments), printed, errors, dict(os.environ)), daemon=True)
    with _reading:
        process.start()
    return _Forked(process, arguments)


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended, with its exit code and its output."""

    code: int
    printed: str
    errors: str


def done(spawn: Spawn, arguments: Sequence[str], seconds: float) -> Done:
    """Runs a command until it ends. After `seconds` it is killed. Raises subprocess.TimeoutExpired."""
    with tempfile.NamedTemporaryFile() as printed, tempfile.NamedTemporaryFile() as errors:
        process = spawn(arguments, Path(printed.name), Path(errors.name))
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return Done(code, printed.read().decode(), errors.read().decode())


@cache
def _server() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload([*MODULES, "tools.frozen"])
    return context


def _run(arguments: list[str], printed: Path, errors: Path, environment: Mapping[str, str]) -> None:
    for path, descriptor in ((printed, 1), (errors, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["tenantry", *arguments]
    from tenantry.cli.main import main

    sys.exit(main())


class _Forked:
    def __init__(self, process: ForkServerProcess, arguments: Sequence[str]) -> None:
        self._process = process
        self._arguments = arguments
        assert process.pid is not None
        self.pid: int = process.pid

    def poll(self) -> int | None:
        with _reading:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        wait([self._process.sentinel], timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(["tenantry", *self._arguments], timeout or 0.0)
        return code

    def send_signal(self, sig: int) -> None:
        # After the process was reaped, its pid may belong to another process.
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)
