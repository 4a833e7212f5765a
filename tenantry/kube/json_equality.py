"""Whether two JSON values are the same. Python's `==` is true for true and 1, and for false and 0."""

from __future__ import annotations

from typing import Any

import orjson


def same_json(one: Any, other: Any) -> bool:
    """Whether two values are written alike, whatever the order of fields. Numbers are in their canonical form (`numbers.py`)."""
    if one is other:
        return True
    if one != other:
        return False
    kind = type(one)
    if kind is dict or kind is list:
        # Values that are equal are rarely encoded differently, and encoding them is faster than looking at each of them.
        return orjson.dumps(one, option=orjson.OPT_SORT_KEYS) == orjson.dumps(other, option=orjson.OPT_SORT_KEYS)
    return kind is type(other) or bool not in (kind, type(other))
