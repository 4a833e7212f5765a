"""Values in the texts of errors."""

from __future__ import annotations

import html
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.kube.field_errors import show

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text('ab<>&\u2028 "', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("k<&", max_size=3), inner, max_size=3),
)


@given(VALUES.filter(lambda value: not isinstance(value, str)))
def test_a_value_is_shown_as_json(value: Any) -> None:
    assert json.loads(show(value)) == value


@given(st.lists(VALUES, min_size=1) | st.dictionaries(st.text("k<&"), VALUES, min_size=1))
def test_texts_inside_are_safe_in_html(value: Any) -> None:
    shown = show(value)
    assert html.escape(shown, quote=False) == shown and "\u2028" not in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a<b", '"a<b"'),
        ("\0\a\b\v\x7f\x80\u200b\u2028\u00ad\U000e0001é☃", r'"\x00\a\b\v\x7f\u0080\u200b\u2028\u00ad\U000e0001é☃"'),
        (["\0\a\b\v\x7f"], '["\\u0000\\u0007\\b\\u000b\x7f"]'),
        (["a<b", 1], '["a\\u003cb",1]'),
        ({"k&": "v>"}, '{"k\\u0026":"v\\u003e"}'),
        ({"a": [{"b": "&"}]}, '{"a":[{"b":"\\u0026"}]}'),
        ({"a&b": "\u2028"}, '{"a\\u0026b":"\\u2028"}'),
        ({"n": 1, "l": []}, '{"n":1,"l":[]}'),
    ],
)
def test_a_text_alone_is_quoted_as_it_is(value: Any, shown: str) -> None:
    """Go quotes a text, and encodes everything else as JSON."""
    assert show(value) == shown
