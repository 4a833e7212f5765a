"""Equality of JSON values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.json_equality import same_json

VALUES = st.recursive(
    st.sampled_from((None, True, False, 0, 1, 2, 1.5, "", "1")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
)


@given(VALUES, VALUES)
def test_it_is_equality_of_what_is_written(one: Any, other: Any) -> None:
    assert same_json(one, other) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))


@pytest.mark.parametrize(("one", "other"), [(True, 1), (0, False), ([1], [True]), ({"a": {"b": 0}}, {"a": {"b": False}})])
def test_a_boolean_is_no_number(one: Any, other: Any) -> None:
    assert one == other and not same_json(one, other)
