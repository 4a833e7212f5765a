"""What hidden fields cost grows with the value, and not with the number and length of their paths."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tenantry.kube.objects import Object
from tenantry.kube.schema.structural import Schema
from tenantry.virtual.declared.hidden.carry_over import carry_over
from tenantry.virtual.declared.hidden.managers import parts_of
from tenantry.virtual.declared.hidden.paths import Hidden, found, has_any, remove
from tenantry.virtual.declared.shown_object import FieldsHidden
from tests.support.tenancies import ServedShard
from tests.virtual.declared.observatory import CONFIG_MAPS, NEAR, READER, config_map, config_maps, observatory

ANY = Schema(type="object", preserve_unknown=True)
MANY = [("spec", "list", *["a"] * length, f"key{length}") for length in range(32)]


def counted(monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> int:
    """How many objects and names are looked at."""
    looked = 0
    among, of = Hidden.among, Hidden.of

    def noting_among(self: Hidden, members: Any) -> Any:
        nonlocal looked
        looked += 1
        return among(self, members)

    def noting_of(self: Hidden, name: str) -> Any:
        nonlocal looked
        looked += 1
        return of(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Hidden, "among", noting_among)
        patch.setattr(Hidden, "of", noting_of)
        work()
    return looked


def nested(inner: Any, depth: int, *, lists: bool) -> Any:
    for _ in range(depth):
        inner = [inner] if lists else {"a": inner}
    return inner


@pytest.mark.parametrize("lists", [True, False])
def test_each_object_is_looked_at_a_few_times(monkeypatch: pytest.MonkeyPatch, lists: bool) -> None:
    depth, items = (200, 10) if lists else (31, 30)
    inner = {"key0": "s", "b": 1} if lists else {"key31": "s", "b": 1}
    stored = {"spec": {"list": [nested(inner, depth, lists=lists) for _ in range(items)]}}
    hidden = Hidden(MANY)
    seen = copy.deepcopy(stored)
    objects = 2 + items * (1 if lists else depth + 1)
    assert counted(monkeypatch, lambda: remove(seen, hidden)) <= objects
    assert seen != stored
    assert counted(monkeypatch, lambda: list(found(seen, hidden))) <= objects
    assert counted(monkeypatch, lambda: has_any(seen, hidden)) <= objects
    seen["spec"]["list"][0] = nested({"b": 2}, depth, lists=lists)
    assert counted(monkeypatch, lambda: carry_over(seen, stored, hidden, ANY)) <= 3 * objects
    assert seen["spec"]["list"][0] == nested({**inner, "b": 2}, depth, lists=lists)


def test_managers_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    items: Any = {f"f:name{number}": {"f:a": {}, "f:b": {}} for number in range(100)}
    fields = {"f:spec": {"f:list": items}}
    assert counted(monkeypatch, lambda: parts_of(fields, Hidden(MANY))) <= 2 + 3 * len(items)


def test_few_long_paths_make_few_places() -> None:
    """What a value does not lead to is not made."""
    hidden = Hidden([tuple(f"part{number}" for number in range(100)) for _ in range(32)])
    assert [name for name, _ in hidden.among({"part0": {}, "other": {}})] == ["part0"]
    below = hidden.of("part0.part1")
    assert below is not None and below._below is None


async def test_large_objects_are_shown_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[bool] = []
    own = FieldsHidden.__call__

    def noting(self: FieldsHidden, obj: Object) -> Object:
        places.append(threading.current_thread() is threading.main_thread())
        return own(self, obj)

    monkeypatch.setattr(FieldsHidden, "__call__", noting)
    async with ServedShard() as shard:
        await observatory(shard, resources=[{**CONFIG_MAPS, "verbs": ["get", "list", "patch"], "hiddenFields": ["data.key"]}])
        await config_map(shard, "one", data={"key": "secret", **{f"k{number}": "x" for number in range(3000)}})
        for path, query in ((config_maps(NEAR, obj="one"), ""), (config_maps(), ""), (config_maps(), "limit=1")):
            status, answer = await shard.call("GET", path, READER, query=query)
            assert status == 200 and "k2999" in str(answer) and "secret" not in str(answer)
        assert places and not any(places)
        for query in ("dryRun=All", ""):
            body = {"data": {"k0": "y"}}
            path = config_maps(NEAR, obj="one")
            status, answer = await shard.call(
                "PATCH", path, READER, body, query=query, content_type="application/merge-patch+json"
            )
            assert (status, answer["data"]["k0"], "secret" in str(answer)) == (200, "y", False)
        assert not any(places)
