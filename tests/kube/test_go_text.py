"""Values as Go's fmt prints them."""

from __future__ import annotations

import math

import pytest

from tenantry.kube.go_text import plain, syntax

# What `fmt.Printf("%v")` of Go 1.26 prints.
FLOATS = [
    (0.0, "0"),
    (5.0, "5"),
    (0.1, "0.1"),
    (1e-4, "0.0001"),
    (1e-5, "1e-05"),
    (1e5, "100000"),
    (1e6, "1e+06"),
    (1.5e7, "1.5e+07"),
    (123456.5, "123456.5"),
    (1234567.5, "1.2345675e+06"),
    (123456789.0, "1.23456789e+08"),
    (1e20, "1e+20"),
    (1e100, "1e+100"),
    (-1e7, "-1e+07"),
    (math.inf, "+Inf"),
    (-math.inf, "-Inf"),
    (math.nan, "NaN"),
]


@pytest.mark.parametrize(("value", "text"), FLOATS)
def test_floats(value: float, text: str) -> None:
    assert plain(value) == text
    assert syntax([value]) == f"[]interface {{}}{{{text}}}"
