"""Quantities at the far ends of what can be written."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.quantity import canonical, parse

AMOUNTS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "+", "-"]),
    st.from_regex(r"[0-9]{1,40}", fullmatch=True),
    st.sampled_from(["", ".", ".5", ".000000000001"]),
    st.sampled_from(["", "n", "m", "k", "E", "Ki", "Ei", "e5", "E-9", "e60", "e-60"]),
)


@settings(max_examples=200, deadline=None)
@given(AMOUNTS)
def test_the_shortest_form_is_the_same_amount(text: str) -> None:
    try:
        written = canonical(text)
    except ValueError:
        assert len(text) > 20 or abs(Decimal(text)) >= Decimal("1e65"), "only what is very long, or very large, is refused"
        return
    assert parse(written) == parse(text)
    assert canonical(written) == written


@pytest.mark.parametrize(
    ("text", "amount"),
    [("9" * 40, Decimal("9" * 40)), ("1e60", Decimal(10) ** 60), ("1e-60", Decimal("1e-9")), ("1" + "0" * 39 + "Ei", None)],
)
def test_many_digits(text: str, amount: Decimal | None) -> None:
    assert amount is None or parse(text) == amount
    assert canonical(text)


@pytest.mark.parametrize("text", ["", "1e65", "9" * 65, "9" * 62 + ".5", "1Zi", "NaN", "Infinity", "1_0"])
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        canonical(text)
