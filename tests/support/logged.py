"""What the product logged during a test."""

from __future__ import annotations

import logging

import pytest


def logged(caplog: pytest.LogCaptureFixture, logger: str = "tenantry", level: int = logging.WARNING) -> list[logging.LogRecord]:
    """The records of `logger` and those below it. What other libraries log, and whether less than warnings is recorded, depends
    on which tests ran before, unless the test sets the level."""
    below = f"{logger}."
    return [
        record
        for record in caplog.records
        if record.levelno >= level and (record.name == logger or record.name.startswith(below))
    ]
