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


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged as an error, by whatever library: the message, the key of a controller, and the traceback."""
    return [f"{r.message} {r.__dict__.get('key', '')} {r.exc_text or ''}" for r in caplog.records if r.levelno >= logging.ERROR]
