"""A test that fails on real processes shows what they logged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.logs import ERRORS_MAX, LAST_MAX, LINE_CHARACTERS_MAX, excerpt, excerpts
from tests.support.running import Running


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


class Platform(Running):
    """Its log goes with it, as those of most platforms do."""

    def __init__(self, log: Path, starts: bool) -> None:
        self.log, self._starts = log, starts

    @property
    def logs(self) -> list[Path]:
        return [self.log]

    def start(self) -> None:
        self.log.write_text(line("critical", "the process ends"))
        assert self._starts

    def close(self) -> None:
        self.log.unlink()


@pytest.mark.parametrize("starts", [True, False])
def test_an_error_on_a_platform_is_told_with_its_logs(tmp_path: Path, starts: bool) -> None:
    platform = Platform(tmp_path / "shard-1.log", starts)
    with pytest.raises(AssertionError) as failed, platform:
        raise AssertionError
    assert not platform.log.exists()
    assert failed.value.__notes__ == [f"--- shard-1.log\n{line('critical', 'the process ends')}"]
