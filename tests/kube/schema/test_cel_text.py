"""Doubles as text: recorded from kube-apiserver 1.37.2 (`string(x)` in the message of an admission policy)."""

from __future__ import annotations

import pytest

from tenantry.kube.schema.cel_text import scalar


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e5, "100000"),
        (999999.0, "999999"),
        (1e6, "1e+06"),
        (-1e6, "-1e+06"),
        (123456.7, "123456.7"),
        (1234567.8, "1.2345678e+06"),
        (9007199254740992.0, "9.007199254740992e+15"),
        (1e20, "1e+20"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (1e300, "1e+300"),
        (5e-324, "5e-324"),
        (-0.0, "-0"),
        (1.0, "1"),
        (float("nan"), "NaN"),
        (float("-inf"), "-Inf"),
    ],
)
def test_a_double_has_as_many_digits_as_it_needs(value: float, text: str) -> None:
    assert scalar(value) == text
