"""The operators in tests/clients/kopf, in an environment of their own: kopf's dependencies are none of the project's."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from tests.support.tools import missing
from tests.support.waiting import wait_for

_OPERATORS = Path(__file__).parent.parent / "clients" / "kopf"
OPERATOR = _OPERATORS / "operator.py"
SYNCER = _OPERATORS / "syncer.py"
VERSION = "1.45.2"
INSTALL_SECONDS = 240.0


def installed(folder: Path) -> Path:
    """The program `kopf`, installed into a directory. Skips the test, or fails it, where pip cannot do that."""
    commands = ([sys.executable, "-m", "venv", str(folder)], [str(folder / "bin" / "pip"), "install", "-q", f"kopf=={VERSION}"])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
        if done.returncode:
            missing(f"kopf cannot be installed: {done.stderr[-300:]}")
    return folder / "bin" / "kopf"


class Operator:
    """A running operator, a context manager. `lines`: what it was told of, as (type, cluster, name, shown). `environment`: what
    the file of the operator reads."""

    def __init__(self, program: Path, kubeconfig: Path, file: Path = OPERATOR, **environment: str) -> None:
        self.lines: list[tuple[str | None, str, str, Any]] = []
        self._log: list[str] = []
        self._process = subprocess.Popen(
            [str(program), "run", "--standalone", "--all-namespaces", str(file)],
            env={"KUBECONFIG": str(kubeconfig), "HOME": str(kubeconfig.parent), "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    @property
    def log(self) -> str:
        return "\n".join(self._log)

    def told(self, *line: object) -> None:
        """Waits until it was told of this."""
        wait_for(lambda: line in self.lines, str(line))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._reader.join()
        if error is not None:
            error.add_note(f"{self.lines}\n{self.log}")

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            if text.startswith("EVENT "):
                event = json.loads(text.removeprefix("EVENT "))
                self.lines.append((event["type"], event["cluster"], event["name"], event["shown"]))
            else:
                self._log.append(text.rstrip())
