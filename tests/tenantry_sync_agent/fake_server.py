"""An API server in memory, as far as the steps of the syncer need one, that can die with its caller at any request."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from tenantry_sync_agent.api_client import ApiError, Object

UP, DOWN = "https://above", "https://below"


class Crash(BaseException):
    """The agent was killed. Not an Exception: no code of the agent may catch it."""


class Budget:
    """How many requests the agent makes before it is killed. `lost`: whether the last one takes effect, without an answer."""

    def __init__(self, requests: int | None = None, *, lost: bool = False) -> None:
        self.left = requests
        self.lost = lost

    def spend(self) -> bool:
        """Whether this is the last request."""
        if self.left is None:
            return False
        self.left -= 1
        if self.left < 0:
            raise Crash
        return self.left == 0 and self.lost


class FakeServer:
    """Objects by URL. `log`: the writes that took effect, as (method or "user", URL, object before, object after)."""

    def __init__(self, server: str) -> None:
        self.server = server
        self.objects: dict[str, Object] = {}
        self.log: list[tuple[str, str, Object | None, Object | None]] = []
        self.budget = Budget()
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    def put(self, url: str, obj: Object) -> Object:
        """Creates or changes an object as a user does."""
        old = self.objects.get(url)
        made = copy.deepcopy(obj)
        metadata = made.setdefault("metadata", {})
        metadata["uid"] = old["metadata"]["uid"] if old is not None else f"{self.server}/{next(self._uids)}"
        return self._store("user", url, made)

    async def get(self, url: str, **query: str) -> Object:
        self._spend()
        return copy.deepcopy(self._found(url))

    async def create(self, url: str, body: Object, **query: str) -> Object:
        last = self.budget.spend()
        place = f"{url}/{body['metadata']['name']}"
        if place in self.objects:
            raise ApiError("POST", 409, "AlreadyExists", place)
        namespace = url.rpartition("/")[0]
        if "/namespaces/" in url and namespace not in self.objects:
            raise ApiError("POST", 404, "NotFound", namespace)
        made = copy.deepcopy(body)
        made["metadata"]["uid"] = f"{self.server}/{next(self._uids)}"
        made["metadata"]["managedFields"] = [{"manager": query.get("fieldManager", ""), "operation": "Update"}]
        return self._answer(last, self._store("POST", place, made))

    async def patch(self, url: str, body: Any, kind: str = "", **query: str) -> Object:
        last = self.budget.spend()
        status = url.endswith("/status")
        place = url.removesuffix("/status")
        old = self._found(place)
        new = copy.deepcopy(old)
        if isinstance(body, list):
            for operation in body:
                if operation["path"] == "/metadata/managedFields":
                    new["metadata"]["managedFields"] = operation["value"]
                elif operation["value"] != old["metadata"]["resourceVersion"]:
                    raise ApiError("PATCH", 409, "Conflict", place)
            return self._answer(last, self._store("PATCH", place, new))
        for name in ("uid", "resourceVersion"):
            if body["metadata"].get(name, old["metadata"][name]) != old["metadata"][name]:
                raise ApiError("PATCH", 409, "Conflict", place)
        if "force" in query:
            # As if this manager alone had written all of it.
            assert [entry["operation"] for entry in old["metadata"]["managedFields"]] == ["Apply"]
            new = {**copy.deepcopy(body), "status": old.get("status", {})}
            new["metadata"] = {**old["metadata"], **new["metadata"]}
        elif status:
            new["status"] = merged(old.get("status"), body["status"])
        else:
            new = merged(old, body)
        return self._answer(last, self._store("PATCH", place, new))

    async def delete(self, url: str, *, uid: str) -> Object:
        last = self.budget.spend()
        old = self._found(url)
        if old["metadata"]["uid"] != uid:
            raise ApiError("DELETE", 409, "Conflict", url)
        self.remove(url, "DELETE")
        return self._answer(last, {})

    def remove(self, url: str, by: str = "user") -> None:
        """Deletes an object as a user does: it stays until its finalizers are gone."""
        old = self.objects[url]
        if old["metadata"].get("finalizers"):
            new = copy.deepcopy(old)
            new["metadata"].setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
            self._store(by, url, new)
        else:
            self.log.append((by, url, self.objects.pop(url), None))

    def _store(self, method: str, url: str, new: Object) -> Object:
        old = self.objects.get(url)
        new["metadata"]["resourceVersion"] = str(next(self._versions))
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            self.objects.pop(url, None)
            self.log.append((method, url, old, None))
        else:
            self.objects[url] = new
            self.log.append((method, url, old, new))
        return copy.deepcopy(new)

    def _found(self, url: str) -> Object:
        if url not in self.objects:
            raise ApiError("GET", 404, "NotFound", url)
        return self.objects[url]

    def _spend(self) -> None:
        if self.budget.spend():
            raise Crash

    def _answer(self, last: bool, answer: Object) -> Object:
        if last:
            raise Crash
        return answer


def merged(old: Any, patch: Any) -> Any:
    """RFC 7386, in its own words."""
    if not isinstance(patch, dict):
        return patch
    made = dict(old) if isinstance(old, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = merged(made.get(name), value)
    return made
