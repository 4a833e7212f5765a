"""Exit codes of forked processes, read by several threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.spawning import forked

PROCESSES = 40
THREADS = 6


@pytest.fixture
def short_slices() -> Iterator[None]:
    """Threads take turns after every few instructions."""
    seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(seconds)


@pytest.mark.usefixtures("short_slices")
def test_every_reader_gets_the_exit_code(tmp_path: Path) -> None:
    processes = [forked(["--version"], tmp_path / "printed", tmp_path / "errors") for _ in range(PROCESSES)]
    ended = threading.Event()

    def poll() -> None:
        while not ended.is_set():
            for process in processes:
                process.poll()

    readers = [threading.Thread(target=poll) for _ in range(THREADS)]
    for reader in readers:
        reader.start()
    try:
        assert [process.wait(60) for process in processes] == [0] * PROCESSES
    finally:
        ended.set()
        for reader in readers:
            reader.join()
