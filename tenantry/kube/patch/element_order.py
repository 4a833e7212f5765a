"""The order of a list after a strategic merge: the patch's order for the items that it names, then the live list's order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tenantry.kube.patch.json_values import identity


def enforce_order(
    merged: list[Any],
    patch_order: list[Any],
    live_order: list[Any],
    merge_key: str,
    *,
    no_key: Callable[[dict[str, Any], str], Exception],
) -> list[Any]:
    """The merged items in order: those of `patch_order` in its order, and the others between them, where the live list had them.

    `no_key` makes the error for an item without the merge key.
    """

    def key_of(item: Any) -> Any:
        if not merge_key or not isinstance(item, dict):
            return item
        if merge_key not in item:
            raise no_key(item, merge_key)
        return item[merge_key]

    patch_places, live_places = _places(map(key_of, patch_order)), _places(map(key_of, live_order))
    named: list[tuple[int, Any]] = []
    others: list[tuple[int, Any]] = []
    for item in merged:
        key = identity(key_of(item))
        place = patch_places.get(key, -1)
        if place >= 0:
            named.append((place, item))
        else:
            others.append((live_places.get(key, -1), item))
    named.sort(key=lambda pair: pair[0])
    others.sort(key=lambda pair: pair[0])
    out: list[Any] = []
    first = second = 0
    while first < len(others) or second < len(named):
        if second == len(named):
            take_other = True
        elif first == len(others):
            take_other = False
        else:
            place = live_places.get(identity(key_of(named[second][1])), -1)
            take_other = 0 <= others[first][0] < place
        if take_other:
            out.append(others[first][1])
            first += 1
        else:
            out.append(named[second][1])
            second += 1
    return out


def _places(keys: Iterable[Any]) -> dict[Any, int]:
    """Each key with the first index where it occurs."""
    places: dict[Any, int] = {}
    for place, key in enumerate(keys):
        places.setdefault(identity(key), place)
    return places
