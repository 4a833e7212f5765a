"""Checks of writes through a view: what a client writes is what it sees afterwards."""

from __future__ import annotations

from typing import Any

from tenantry.cli.view_check.server import Answer
from tenantry.cli.view_check.tried_place import (
    Failed,
    Resource,
    Skipped,
    Tried,
    by_place,
    difference,
    filled,
    message_of,
    renamed,
    without_server_fields,
)
from tenantry.kube.objects import Object

WRITING = frozenset({"create", "update", "patch", "delete"})
_PATCHES: dict[str, Any] = {
    "application/merge-patch+json": {"metadata": {"labels": {"tenantry.check": "merged"}}},
    "application/json-patch+json": [{"op": "add", "path": "/metadata/labels/tenantry.check", "value": "patched"}],
}
_MANAGER = "tenantry-check"


async def writes(tried: Tried) -> None:
    """Objects are created, read, replaced, patched, applied and deleted, each time with what was sent."""
    if WRITING.isdisjoint(tried.view.verbs):
        raise Skipped("the view has no verbs that write")
    if not tried.fixture.writes:
        raise Skipped("the fixture has no `writes`")
    resources = {(each.api_version, each.kind): each for each in await tried.resources()}
    for wanted in tried.fixture.writes:
        obj: Object = filled(wanted, tried.clusters)
        resource = resources.get((obj["apiVersion"], obj["kind"]))
        if resource is None:
            raise Failed(f"the fixture writes a {obj['kind']}, which the view does not serve")
        await _written(tried, resource, obj)


async def _written(tried: Tried, resource: Resource, obj: Object) -> None:
    name = obj["metadata"]["name"]
    namespace = obj["metadata"].get("namespace", "default") if resource.namespaced else ""
    collection, path = tried.root + resource.collection(namespace), tried.root + resource.path(namespace, name)
    verbs = set(resource.verbs)
    if "create" in verbs:
        dry = await _call(tried, "POST", collection, renamed(obj, f"{name}-dry"), 201, query="dryRun=All")
        if (await tried.get(f"{path}-dry")).status != 404:
            raise Failed(f"a dry run creates {dry['metadata']['name']}")
        created = await _call(tried, "POST", collection, obj, 201)
        if missing := _missing(obj, created):
            raise Failed(f"what was created lacks {missing}")
        await _shows(tried, path, created, "a create")
        again = await tried.server.call("POST", collection, tried.user, obj)
        if again.status != 409:
            raise Failed(f"a second create of {name} is answered with {again.status}")
    now = await _call(tried, "GET", path, None, 200)
    if "update" in verbs:
        await _updated(tried, path, now)
    if "patch" in verbs:
        await _patched(tried, path, obj)
    if "delete" in verbs:
        await _call(tried, "DELETE", path, None, 200)
        answer = await tried.get(path)
        if answer.status != 404:
            raise Failed(f"{name} was deleted, and GET is answered with {answer.status}")


async def _updated(tried: Tried, path: str, now: Object) -> None:
    same = await _call(tried, "PUT", path, now, 200)
    if same["metadata"]["resourceVersion"] != now["metadata"]["resourceVersion"]:
        raise Failed("an update with what was read changes the object")
    labels = {**(now["metadata"].get("labels") or {}), "tenantry.check": "updated"}
    changed = {**now, "metadata": {**now["metadata"], "labels": labels}}
    updated = await _call(tried, "PUT", path, changed, 200)
    if missing := _missing(without_server_fields(changed), updated):
        raise Failed(f"an update loses {missing}")
    await _shows(tried, path, updated, "an update")
    late = await tried.server.call("PUT", path, tried.user, changed)
    if late.status != 409:
        raise Failed(f"an update of an old version is answered with {late.status}")


async def _patched(tried: Tried, path: str, obj: Object) -> None:
    before = await _call(tried, "GET", path, None, 200)
    for media_type, body in _PATCHES.items():
        patched = await _call(tried, "PATCH", path, body, 200, media_type=media_type)
        if "tenantry.check" not in (patched["metadata"].get("labels") or {}):
            raise Failed(f"a patch ({media_type}) sets a label that the answer lacks")
        if missing := _missing({k: v for k, v in before.items() if k not in ("metadata", "status")}, patched):
            raise Failed(f"a patch of a label ({media_type}) loses {missing}")
        await _shows(tried, path, patched, "a patch")
    config = {**obj, "metadata": {"name": obj["metadata"]["name"], "labels": {"tenantry.check": "applied"}}}
    query = f"fieldManager={_MANAGER}&force=true"
    applied = await _call(tried, "PATCH", path, config, 200, query=query, media_type="application/apply-patch+yaml")
    if missing := _missing(config, applied):
        raise Failed(f"an apply loses {missing}")
    await _shows(tried, path, applied, "an apply")


async def _shows(tried: Tried, path: str, written: Object, what: str) -> None:
    now = await _call(tried, "GET", path, None, 200)
    if wrong := difference(by_place([written]), by_place([now])):
        raise Failed(f"after {what}, the answer is not what GET shows: {wrong}")


async def _call(tried: Tried, method: str, path: str, body: Any, status: int, *, query: str = "", media_type: str = "") -> Object:
    headers = {"content-type": media_type} if media_type else None
    answer: Answer = await tried.server.call(method, path, tried.user, body, query=query, headers=headers)
    if answer.status != status:
        raise Failed(f"{method} {path} {media_type} is answered with {answer.status}: {message_of(answer)}")
    found: Object = answer.body
    return found


def _missing(wanted: Any, found: Any, path: str = "") -> str:
    """The path of the first value that is not in what was found; empty if all are."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name, value in wanted.items():
            if name not in found or (missing := _missing(value, found[name], f"{path}.{name}")):
                return missing if name in found else f"{path}.{name}"
        return ""
    return "" if wanted == found else path
