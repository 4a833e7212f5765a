"""The rounds can fail: with one protection taken from the product, they find what it protects from."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.breakage import cut_owner, cut_views, fault_of, freeze_owner, kill_views
from tests.faults.rounds import Failed, Rounds
from tests.faults.verdict import OLD_OWNER, STALE, WATCH
from tools.spawning import executed

SEED = "sabotage"
ATTEMPTS = 5


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("protection", "fault", "rule"),
    [
        ("fences", cut_owner, OLD_OWNER),
        ("fences", freeze_owner, OLD_OWNER),
        ("reads", cut_owner, STALE),
        ("views", cut_views, STALE),
        ("events", kill_views, WATCH),
    ],
)
def test_what_is_broken_is_found(
    protection: str, fault: object, rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "sabotage"))
    monkeypatch.setenv("TENANTRY_SABOTAGE", protection)
    numbers = [number for number in range(1000) if fault_of(SEED, number) is fault][:ATTEMPTS]
    with Rounds(SEED, tmp_path, spawn=executed) as rounds:
        for number in numbers:
            try:
                rounds.run(number)
            except Failed as failed:
                assert failed.verdict is not None and failed.verdict.of(rule), failed
                return
    pytest.fail(f"{ATTEMPTS} rounds did not show it")
