"""What of an object is as it was (ratcheting)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.ratchet import ABSENT, same_value

ITEM = {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "string"}}}
SCHEMA = from_openapi(
    {
        "type": "object",
        "properties": {
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": ITEM},
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "plain": {"type": "array", "items": ITEM},
        },
    }
)
A, B = {"k": "a", "v": "1"}, {"k": "b", "v": "2"}


@pytest.mark.parametrize(
    ("new", "old", "same"),
    [
        ({"map": [A, B]}, {"map": [B, A]}, True),
        ({"map": [A, B]}, {"map": [B, A | {"v": "3"}]}, False),
        ({"map": [A]}, {"map": [A, B]}, False),
        ({"map": [A], "set": ["x"]}, {"map": [A]}, False),
        # As upstream, only lists with keys are in any order.
        ({"set": ["x", "y"]}, {"set": ["y", "x"]}, False),
        ({"plain": [A, B]}, {"plain": [B, A]}, False),
        ({"map": [A]}, ABSENT, False),
    ],
)
def test_lists_with_keys_are_in_any_order(new: Any, old: Any, same: bool) -> None:
    assert same_value(new, old, SCHEMA) is same


@given(st.permutations([{"k": name, "v": name} for name in "abcde"]))
def test_no_order_is_another_value(items: list[Any]) -> None:
    assert same_value({"map": items}, {"map": sorted(items, key=lambda item: str(item["k"]))}, SCHEMA)
