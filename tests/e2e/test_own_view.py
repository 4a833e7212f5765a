"""A service team comes from nothing to a view that kubectl reads, with the commands that the documents name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.etcd import EtcdServer
from tests.support.tools import kubectls, program
from tools.ports import free_port

SCRIPT = Path(__file__).with_name("own_view.sh")


@pytest.fixture
def etcd() -> Iterator[EtcdServer]:
    server = EtcdServer()
    server.start()
    yield server
    server.stop()


@pytest.mark.one_process("the script starts processes of its own")
def test_from_nothing_to_kubectl(form: str, tmp_path: Path, etcd: EtcdServer) -> None:
    kubectl = (kubectls() or [program("kubectl", "it comes with kubernetes-client")])[-1]
    ports = (str(free_port()), etcd.url, str(free_port()), str(free_port()))
    command = ["sh", str(SCRIPT), str(tmp_path), sys.executable, kubectl, *ports]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    checks = [line.split()[:2] for line in lines if line.startswith(("discovery", "watches", "budget"))]
    assert checks == [["discovery", "ok"], ["watches", "ok"], ["budget", "ok"]]
    # Of the two ConfigMaps, the view shows the published one, without its value.
    in_the_server, alone = lines.index("In the server:"), lines.index("In a process of its own:")
    assert lines[alone - 1] == "open=..." and in_the_server < alone - 1
    assert lines[-1] == "open=..." and len(lines) > alone + 2
