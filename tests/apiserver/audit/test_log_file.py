"""Audit logs: lines, rotation, permissions."""

from __future__ import annotations

import gzip
import os
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
from tests.support.waiting import wait_for


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
    for name in (f"audit-{long_ago}.000.log", f"audit-{long_ago}.001.log.gz", "audit-other.log", f"other-{long_ago}.000.log"):
        (tmp_path / name).touch()
    log = LogFile(str(path), bytes_max=3, days_max=2)
    log.write(b"one\n")
    log.write(b"two\n")
    log.close()
    left = {each.name for each in tmp_path.iterdir()}
    assert {"audit.log", "audit-other.log", f"other-{long_ago}.000.log"} < left
    assert len(left) == 4


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
