"""Audit logs: lines, rotation, permissions."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from tenantry.apiserver.audit.delivery import DeliveryFailed
from tenantry.apiserver.audit.log_backend import JSON, LEGACY, LogBackend
from tenantry.apiserver.audit.log_file import LogFile
from tenantry.apiserver.audit.truncation import Truncation
from tenantry.kube.audit.event import Body
from tests.kube.audit.test_event import event
from tests.support.waiting import eventually, wait_for


def test_it_appends(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "audit.log"
    for text in (b"a\n", b"b\n"):
        log = LogFile(str(path))
        log.write(text)
        log.close()
    assert path.read_bytes() == b"a\nb\n"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("compress", [False, True])
def test_rotation(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "audit.log"
    log = LogFile(str(path), bytes_max=10, backups_max=2, compress=compress)
    for number in range(5):
        log.write(f"line {number}\n".encode())
        log.tidy()
        written = time.time()
        # Old files are told apart by their milliseconds.
        wait_for(lambda written=written: time.time() > written + 0.001, "the next millisecond")  # type: ignore[misc]
    log.close()
    assert path.read_bytes() == b"line 4\n"
    old = sorted(each for each in tmp_path.iterdir() if each != path)
    assert len(old) == 2
    texts = [gzip.decompress(each.read_bytes()) if compress else each.read_bytes() for each in old]
    assert texts == [b"line 2\n", b"line 3\n"]
    assert all(each.name.startswith("audit-20") and each.name.endswith(".log.gz" if compress else ".log") for each in old)
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in old)


def test_old_files_are_deleted(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    long_ago = (datetime.now(UTC) - timedelta(days=3)).strftime("%Y-%m-%dT%H-%M-%S")
    for name in (
        "audit-2026-99-99T99-99-99.000.log",
        f"audit-{long_ago}.000.log",
        f"audit-{long_ago}.001.log.gz",
        "audit-other.log",
        f"other-{long_ago}.000.log",
    ):
        (tmp_path / name).touch()
    log = LogFile(str(path), bytes_max=3, days_max=2)
    log.write(b"one\n")
    log.write(b"two\n")
    assert log.untidy
    log.tidy()
    log.close()
    left = {each.name for each in tmp_path.iterdir()}
    assert {"audit.log", "audit-other.log", f"other-{long_ago}.000.log", "audit-2026-99-99T99-99-99.000.log"} < left
    assert len(left) == 5


async def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    backend = LogBackend(LogFile(str(path)), JSON)
    await backend.write([event(audit_id="1"), event(audit_id="2")])
    await backend.close()
    assert [orjson.loads(line)["auditID"] for line in path.read_bytes().splitlines()] == ["1", "2"]
    backend = LogBackend(LogFile(str(path)), LEGACY)
    await backend.write([event(audit_id="3")])
    await backend.close()
    assert b' AUDIT: id="3" ' in path.read_bytes()


async def test_large_events(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    backend = LogBackend(LogFile(str(path)), JSON, Truncation(event_bytes=2000, batch_bytes=2000))
    large = Body((b'"' + b"x" * 3000 + b'"',))
    with pytest.raises(DeliveryFailed) as lost:
        await backend.write([event(request_object=large), event(uri="/" + "x" * 3000)])
    await backend.close()
    assert lost.value.lost == 1
    (line,) = path.read_bytes().splitlines()
    assert orjson.loads(line)["annotations"] == {"audit.k8s.io/truncated": "true"}


async def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    backend = LogBackend(LogFile(os.fspath(tmp_path)), JSON)
    with pytest.raises(DeliveryFailed) as lost:
        await backend.write([event()])
    assert "cannot write the audit log" in str(lost.value)
    await backend.close()


async def test_an_event_that_cannot_be_encoded_takes_no_other_along(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    backend = LogBackend(LogFile(str(path)), JSON)
    odd = event(user={"username": object()})
    with pytest.raises(DeliveryFailed) as lost:
        await backend.write([event(audit_id="1"), odd, event(audit_id="2")])
    await backend.close()
    assert lost.value.lost == 1
    assert [orjson.loads(line)["auditID"] for line in path.read_bytes().splitlines()] == ["1", "2"]


def test_a_moved_file_is_begun_again(tmp_path: Path) -> None:
    """By another program that rotates logs."""
    path = tmp_path / "audit.log"
    log = LogFile(str(path), bytes_max=5)
    log.write(b"one\n")
    path.rename(tmp_path / "elsewhere")
    log.write(b"two\n")
    log.close()
    assert path.read_bytes() == b"two\n"


def test_a_full_disk_leaves_no_part_of_a_line(tmp_path: Path) -> None:
    """In a process of its own, in which files may not be longer than that."""
    path = tmp_path / "audit.log"
    code = f"""
import resource, signal
from tenantry.apiserver.audit.log_file import LogFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
log = LogFile({str(path)!r})
log.write(b"first\\n")
try:
    log.write(b"second\\n")
except OSError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    log.write(b"third\\n")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert path.read_bytes() == b"first\nthird\n"


def test_a_file_that_cannot_be_packed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "audit.log"
    log = LogFile(str(path), bytes_max=3, compress=True)
    log.write(b"one\n")
    log.write(b"two\n")

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("tenantry.apiserver.audit.log_file.shutil.copyfileobj", full)
        with pytest.raises(OSError, match="no space"):
            log.tidy()
    (old,) = (each for each in tmp_path.iterdir() if each != path)
    assert old.read_bytes() == b"one\n"
    log.tidy()
    log.close()
    (old,) = (each for each in tmp_path.iterdir() if each != path)
    assert gzip.decompress(old.read_bytes()) == b"one\n"


async def test_events_do_not_wait_for_old_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are packed in another thread: that takes seconds."""
    go_on = threading.Event()
    tidy = LogFile.tidy

    def slow(log: LogFile) -> None:
        go_on.wait(60)
        tidy(log)

    def packed() -> bool:
        return any(tmp_path.glob("*.gz"))

    monkeypatch.setattr(LogFile, "tidy", slow)
    path = tmp_path / "audit.log"
    backend = LogBackend(LogFile(str(path), bytes_max=10, compress=True), JSON)
    for number in range(3):
        await backend.write([event(audit_id=str(number))])
    assert not packed()
    go_on.set()
    await eventually(packed, what="old files are packed")
    await backend.close()
