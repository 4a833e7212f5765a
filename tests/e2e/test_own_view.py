"""A service team comes from nothing to a view that kubectl reads, with the commands that the documents name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tools import kubectls, program
from tools.ports import free_port

SCRIPT = Path(__file__).with_name("own_view.sh")


@pytest.mark.one_process("the script starts a process of its own")
def test_from_nothing_to_kubectl(form: str, tmp_path: Path) -> None:
    kubectl = (kubectls() or [program("kubectl", "it comes with kubernetes-client")])[-1]
    command = ["sh", str(SCRIPT), str(tmp_path), str(free_port()), sys.executable, kubectl]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    checks = [line.split()[:2] for line in done.stdout.splitlines() if line.startswith(("discovery", "watches", "budget"))]
    assert checks == [["discovery", "ok"], ["watches", "ok"], ["budget", "ok"]]
    # Of the two ConfigMaps, the view shows the published one, without its value.
    assert done.stdout.splitlines()[-1] == "open=..."
