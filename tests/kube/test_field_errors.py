"""How errors show values."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.field_errors import show


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a<b>&", '"a<b>&"'),
        # Go escapes these in the JSON of what has parts.
        (["a<b>&"], '["a\\u003cb\\u003e\\u0026"]'),
        ({"a&b": "\u2028"}, '{"a\\u0026b":"\\u2028"}'),
        ({"n": 1, "l": []}, '{"n":1,"l":[]}'),
    ],
)
def test_values_are_shown_as_go_shows_them(value: Any, text: str) -> None:
    assert show(value) == text
