"""What tests tell at the end of a run beside how they went, whichever worker process they ran in."""

from __future__ import annotations

from typing import Any

import pytest

_SECTIONS = pytest.StashKey[dict[str, str]]()
_KEY = "sections"


def show_at_end(config: pytest.Config, title: str, text: str) -> None:
    """Shows a text under a title. To be called when the session of a worker, or of a run without workers, finishes."""
    output: dict[str, Any] | None = getattr(config, "workeroutput", None)
    sections = config.stash.setdefault(_SECTIONS, {}) if output is None else output.setdefault(_KEY, {})
    sections[title] = text


def collect(config: pytest.Config, output: dict[str, Any] | None) -> None:
    """Takes over what a worker that has finished shows; None of one that died."""
    config.stash.setdefault(_SECTIONS, {}).update((output or {}).get(_KEY, {}))


def show(reporter: pytest.TerminalReporter) -> None:
    for title, text in reporter.config.stash.get(_SECTIONS, {}).items():
        reporter.section(title)
        reporter.write_line(text)
