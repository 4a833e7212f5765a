"""The hashes of kcp, against values computed by kcp's own code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.tenancy.exports import hashing


@pytest.mark.parametrize(
    ("cluster", "export", "group", "resource", "identity", "key", "value"),
    [
        (
            "root",
            "tenancy.kcp.io",
            "",
            "configmaps",
            "",
            "bmCdly9xXiUpEHe3ypvDwvXMTfoVZUE92mqAQf",
            "3QVjs6pfBjMpLEVYYhysJnroYGsQGlWm05E4qe",
        ),
        (
            "abcd1234",
            "my-export",
            "apps",
            "deployments",
            "deadbeef",
            "phGj1BkmdNY3LKTrtFc1KGLYTBs8Nt50p8PIU",
            "4CpOMiJ5JL9ZC4cG8ne7nGNQbSOEUiwZ89KHal",
        ),
    ],
)
def test_claim_labels(cluster: str, export: str, group: str, resource: str, identity: str, key: str, value: str) -> None:
    assert hashing.claim_label(cluster, export) == f"claimed.internal.apis.kcp.io/{key}"
    assert hashing.claim_hash(group, resource, identity) == value


def test_reflexive_value() -> None:
    assert hashing.REFLEXIVE_VALUE == "LstvmbbzVDDOn90ZbhzSQO5U3DMCf88h1pZ"


def test_lifecycle_hash() -> None:
    assert hashing.lifecycle_hash("root:universal") == "d1d6459a03641b6fd7560fc2849f6c66fa971a0afeded6ba2d2743f2"


@given(st.binary(min_size=1, max_size=28))
def test_base62_is_the_number(data: bytes) -> None:
    digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    number = 0
    for digit in hashing.base62(data):
        number = number * 62 + digits.index(digit)
    assert number == int.from_bytes(data, "big")
