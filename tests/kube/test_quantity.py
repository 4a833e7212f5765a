"""Quantities at the far ends of what can be written."""

from __future__ import annotations

import re
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
    amount = parse(text)
    exponential = re.search("[eE][+-]?[0-9]", text)
    if amount and amount == int(amount) and not int(amount) % 10**21 and not exponential:
        # Upstream has no suffix for such an amount, and prints it without its power.
        return
    assert parse(written) == amount
    assert canonical(written) == written


FORMS = [
    ("100E", "100E"),
    ("1000000000000000000000", "1"),
    ("0.5Ki", "512"),
    ("1.0001Ki", "1024102400u"),
    ("1500e-3", "1500e-3"),
    ("1000e-3", "1"),
    ("0.1n", "1n"),
    ("-0.5m", "-500u"),
    ("5.", "5."),
    ("1E3", "1E3"),
    ("1000E3", "1e6"),
    ("+1", "+1"),
    ("007", "007"),
    ("010", "010"),
    ("1000", "1k"),
    ("1024Mi", "1Gi"),
    ("4Ki", "4Ki"),
    ("1000Ki", "1000Ki"),
    ("7Ei", "7Ei"),
    ("8Ei", "9223372036854775807"),
    ("10Ei", "9223372036854775807"),
    ("-10Ei", "-9223372036854775807"),
    ("1.5Gi", "1536Mi"),
    ("0.1", "100m"),
    ("123456789012345678901", "123456789012345678901"),
    (".", "0"),
    ("-", "0"),
    ("Ki", "0"),
    ("0.0", "0"),
]
"""What resource.ParseQuantity(text).String() gives at 0.37.2."""


@pytest.mark.parametrize(("text", "form"), FORMS)
def test_forms(text: str, form: str) -> None:
    assert canonical(text) == form


@pytest.mark.parametrize(
    ("text", "why"), [("1kk", "suffix"), ("1e", "suffix"), ("1K", "suffix"), ("Pi", "numeric part"), (".Ei", "numeric part")]
)
def test_what_cannot_be_read(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        canonical(text)


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
