"""What the processes of a platform logged, in the report of a test that failed on it."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tools.child import Child

ERRORS_MAX, LAST_MAX, LINE_CHARACTERS_MAX = 10, 15, 1000
LOGS = "logs of processes"
_GRAVE = ("critical", "error")


def excerpt(text: str) -> str:
    """Of one log: its critical lines and its errors, then its last lines. A short one as it is."""
    lines = [line for line in text.splitlines() if line.strip()]
    out = lines[-LAST_MAX:]
    if len(lines) > LAST_MAX:
        levels = [_level(line) for line in lines]
        grave = [line for level in _GRAVE for line, found in zip(lines, levels, strict=True) if found == level]
        out = [*grave[:ERRORS_MAX], f"... last of {len(lines)} lines:", *out]
    return "\n".join(line if len(line) <= LINE_CHARACTERS_MAX else f"{line[:LINE_CHARACTERS_MAX]}..." for line in out)


def excerpts(logs: Iterable[Path], since: Mapping[Path, int] | None = None) -> str:
    """Of several logs, each under its name. `since`: bytes of a log that are none of this test's business."""
    out = []
    for path in logs:
        # A platform that was stopped has taken its logs with it.
        with suppress(OSError), path.open("rb") as log:
            log.seek((since or {}).get(path, 0))
            if text := excerpt(log.read().decode(errors="replace")):
                out.append(f"--- {path.name}\n{text}")
    return "\n".join(out)


def _level(line: str) -> str:
    """As a line of the product says it; what is no such line, as a traceback at a process's end, is an error."""
    try:
        return str(json.loads(line).get("level", ""))
    except (ValueError, AttributeError):
        return "error" if "Error" in line or "Traceback" in line else ""


class Logs:
    """The plugin of pytest: the logs of all processes that run while a test fails, from the test's begin on."""

    def __init__(self) -> None:
        self._since: dict[Path, int] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self._since = {}
        for path in _logs():
            with suppress(OSError):
                self._since[path] = path.stat().st_size

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.failed and (text := excerpts(_logs(), self._since)):
            report.sections.append((LOGS, text))
        return report


def _logs() -> list[Path]:
    return sorted({child.log for child in Child.alive})
