"""Ages as kubectl shows them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tenantry.kube.durations import age, human_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (200, "3m20s"),
        (47 * 60, "47m"),
        (3 * 3600, "3h"),
        (5 * 3600 + 12 * 60, "5h12m"),
        (30 * 3600, "30h"),
        (7 * 86400 + 3 * 3600, "7d3h"),
        (45 * 86400, "45d"),
        (2 * 365 * 86400 + 30 * 86400, "2y30d"),
        (9 * 365 * 86400, "9y"),
    ],
)
def test_two_units_at_most(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def test_age_of_a_timestamp() -> None:
    now = datetime(2020, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert age("2020-01-01T00:00:00Z", now) == "5s"
    assert age(None, now) == "<unknown>"
