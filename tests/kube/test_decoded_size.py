"""What an object takes of the memory is never told too low."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.base.cache import size_of
from tenantry.kube.decoded_size import decoded_bytes

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=60,
)


@given(value=values)
def test_it_is_never_told_too_low(value: Any) -> None:
    encoded = orjson.dumps(value)
    assert size_of(orjson.loads(encoded)) <= decoded_bytes(encoded)


@pytest.mark.parametrize(
    "value",
    [
        [[] for _ in range(10_000)],
        [{} for _ in range(10_000)],
        [{"a": 1.5} for _ in range(10_000)],
        {str(number): {} for number in range(10_000)},
        {f"field{number}": 1000 + number for number in range(10_000)},
        {f"field{number}": {"type": "string", "description": "words " * 10} for number in range(1000)},
        ["ü"] * 10_000,
        "x" * 100_000,
        "\N{GRINNING FACE}" * 50_000,
        "x" * 100_000 + "\N{GRINNING FACE}",
    ],
)
def test_for_what_is_made_to_take_much(value: Any) -> None:
    encoded = orjson.dumps(value)
    taken = size_of(orjson.loads(encoded))
    assert taken <= decoded_bytes(encoded) <= max(7 * taken, 1000)
