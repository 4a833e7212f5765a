"""Failures as they happen: a run that is cut off, because a machine is slow or a test hangs, has told what failed until then."""

from __future__ import annotations

import pytest

from tests.support.logs import LOGS

_CHARACTERS_MAX = 4000


class Failures:
    """A plugin of the process that reports. The whole text, with logs and output, comes at the end of the run as ever."""

    def __init__(self, reporter: pytest.TerminalReporter) -> None:
        self._reporter = reporter

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._reporter.ensure_newline()
            self._reporter.section(f"{report.nodeid} ({report.when})", "-")
            self._reporter.write_line(report.longreprtext[-_CHARACTERS_MAX:])
            for title, text in report.sections:
                if title == LOGS:
                    self._reporter.write_line(f"{title}:\n{text}")
