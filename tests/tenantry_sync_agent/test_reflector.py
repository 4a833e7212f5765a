"""A reflector lists once, resumes its watch after every end, and lists again only after 410."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tenantry.base.tasks import awaited
from tenantry_sync_agent import reflector as module
from tenantry_sync_agent.api_client import ApiError, Object, Unreachable
from tenantry_sync_agent.reflector import Place, Reflector
from tests.support.waiting import until


def obj(name: str, version: int, namespace: str = "a") -> Object:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> Object:
    return {"type": kind, "object": obj(name, version)}


class Script:
    """A server that answers lists and watches from a script. The last watch stays open."""

    def __init__(self, lists: list[tuple[list[Object], str]], watches: list[list[Any]]) -> None:
        self.lists, self.watches = lists, watches
        self.asked: list[str] = []

    async def list(self, url: str, **query: str) -> tuple[list[Object], str]:
        self.asked.append("list")
        return self.lists.pop(0)

    async def watch(self, url: str, *, silence_seconds: float, **query: str) -> AsyncGenerator[Object, None]:
        self.asked.append(query["resourceVersion"])
        for step in self.watches.pop(0):
            if isinstance(step, Exception):
                raise step
            yield step
        await until(lambda: self.watches)


async def followed(script: Script, done: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[Reflector, list[str]]:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.0)
    changes: list[Place] = []

    async def changed(place: Place) -> None:
        changes.append(place)

    def key(of: Object) -> Place:
        return Place("one", of["metadata"]["namespace"], of["metadata"]["name"])

    made = Reflector(script, "url", key=key, changed=changed)  # type: ignore[arg-type]
    task = awaited(made.run(), name="reflector")
    await until(lambda: done(made))
    task.cancel()
    return made, [place.name for place in changes]


def has(*names: str) -> Any:
    return lambda made: sorted(place.name for place in made) == sorted(names) and made.synced.is_set()


async def test_a_watch_resumes_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    script = Script(
        [([obj("a", 1)], "5")],
        [
            [event("ADDED", "b", 6), {"type": "BOOKMARK", "object": obj("", 9)}, Unreachable("cut")],
            [ApiError("WATCH", 503, "", "")],
            [event("DELETED", "a", 10), event("ADDED", "c", 11)],
        ],
    )
    made, changes = await followed(script, has("b", "c"), monkeypatch)
    assert script.asked == ["list", "5", "9", "9"]
    assert changes == ["a", "b", "a", "c"]
    assert made.namespaces == {("one", "a"): 2}


async def test_after_410_the_difference_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": ""}}
    script = Script([([obj("a", 1), obj("b", 2)], "5"), ([obj("b", 2), obj("c", 7)], "8")], [[gone], []])
    made, changes = await followed(script, has("b", "c"), monkeypatch)
    assert script.asked[:3] == ["list", "5", "list"]
    assert sorted(changes) == ["a", "a", "b", "c"]
    assert made.namespaces == {("one", "a"): 2}
