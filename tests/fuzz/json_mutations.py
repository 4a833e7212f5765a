"""Changes of inputs that leave them JSON: most changes of single bytes would not, so that what comes
after decoding was never reached."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import orjson

_MOST = 2**63 - 1
_NUMBERS = (0, 1, -1, 2**31, -(2**63), 2**63 - 1, 2**64 - 1, 1.5, -0.0, 1e300)
_TEXTS = ("", "a", "x" * 300, "\u00e9\U0001f600\u2028", "\0", "1Gi", "2024-01-01T00:00:00Z", "*", "/", "a/b", "a.b/c", "self")
_CONTAINERS: tuple[Any, ...] = ([], {}, [None], [[]], [{}], {"": None}, {"a": {}}, ["a", "a"])
_VALUES: tuple[Any, ...] = (None, True, False, *_NUMBERS, *_TEXTS, *_CONTAINERS)
_Place = tuple[Any, Any]
"""A container, and a key or an index in it."""


def changed(value: Any, choose: random.Random, mutate_text: Callable[[bytes], bytes]) -> Any:
    """The value with some changes. `mutate_text` changes the bytes of a text. The value given is changed too."""
    root = [value]
    for _ in range(choose.choice((1, 1, 1, 2, 3))):
        places = list(_places(root))
        container, key = choose.choice(places)
        _change(container, key, places, choose, mutate_text)
    return root[0] if root else None


def _places(root: list[Any]) -> list[_Place]:
    found: list[_Place] = []
    left: list[Any] = [root]
    while left:
        container = left.pop()
        for key in list(container) if isinstance(container, dict) else range(len(container)):
            found.append((container, key))
            if isinstance(container[key], dict | list):
                left.append(container[key])
    return found


def _change(container: Any, key: Any, places: list[_Place], choose: random.Random, mutate_text: Callable[[bytes], bytes]) -> None:
    value = container[key]
    how = choose.randrange(9)
    if isinstance(value, str) and how < 5:
        container[key] = mutate_text(value.encode(errors="replace")).decode(errors="replace")
    elif how < 3:
        container[key] = _copy(choose.choice(_VALUES))
    elif how == 3 and isinstance(value, int | float):
        container[key] = choose.choice((min(value + 1, _MOST), -min(value, _MOST), float(value), str(value)))
    elif how < 6:
        other, place = choose.choice(places)
        container[key] = _copy(other[place])
    elif how == 6 and len(places) > 1:
        del container[key]
        if not isinstance(container, dict) and not container:
            container.append(None)
    elif how == 7 and isinstance(container, dict):
        names = [place for _, place in places if isinstance(place, str)]
        container[choose.choice(names)] = _copy(value)
    elif isinstance(container, list) and len(places) > 1:
        container.insert(choose.randrange(len(container) + 1), _copy(value))


def _copy(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))
