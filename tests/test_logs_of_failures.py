"""A test that fails on real processes shows what they logged."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.logs import ERRORS_MAX, LAST_MAX, LINE_CHARACTERS_MAX, excerpt, excerpts


def line(level: str, message: str) -> str:
    return json.dumps({"time": "2026-01-01T00:00:00Z", "level": level, "logger": "tenantry", "message": message})


def test_what_is_grave_comes_first() -> None:
    text = [line("info", str(number)) for number in range(100)]
    text[3], text[5], text[7] = line("error", "no answer"), line("critical", "the process ends"), "ValueError: bad"
    shown = excerpt("\n".join(text)).splitlines()
    assert shown == [text[5], text[3], text[7], "... last of 100 lines:", *text[-LAST_MAX:]]


def test_it_is_bounded() -> None:
    shown = excerpt("\n".join(line("error", "x" * 10_000) for _ in range(1000))).splitlines()
    assert len(shown) == ERRORS_MAX + 1 + LAST_MAX
    assert max(map(len, shown)) == LINE_CHARACTERS_MAX + len("...")


def test_what_was_logged_before_the_test_is_left_out(tmp_path: Path) -> None:
    one, two, gone = tmp_path / "one.log", tmp_path / "two.log", tmp_path / "gone.log"
    one.write_text("before\nafter\n")
    two.write_text("before\n")
    assert excerpts([one, two, gone], {one: 7, two: 7}) == "--- one.log\nafter"
    assert excerpts([one, two]) == "--- one.log\nbefore\nafter\n--- two.log\nbefore"
