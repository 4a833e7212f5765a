"""The place of a view that the suite tries: its paths, its types, and its objects as clients see them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tenantry.apiserver.user import User
from tenantry.cli.view_check.server import MASTER, Answer, ViewServer, eventually
from tenantry.kube.objects import Object
from tenantry.storage.range import Range
from tenantry.virtual.fixture import Fixture, Given
from tenantry.virtual.view import Place, View

ObjectPlace = tuple[str, str, str]
"""(logical cluster, namespace, name) of an object."""
_SERVER_FIELDS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


class Failed(Exception):
    """A check failed. The text says what the view does wrong."""


class Skipped(Exception):
    """A check does not apply. The text says why."""


class Resource(NamedTuple):
    """A type that is served. `base`: the path of its group version, for example `/api/v1`."""

    base: str
    plural: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]

    @property
    def api_version(self) -> str:
        return self.base.removeprefix("/apis/").removeprefix("/api/")

    def collection(self, namespace: str = "") -> str:
        return f"{self.base}/namespaces/{namespace}/{self.plural}" if namespace else f"{self.base}/{self.plural}"

    def path(self, namespace: str, name: str) -> str:
        return f"{self.collection(namespace)}/{name}"


class Errors(logging.Handler):
    """Collects the errors of views that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            self.texts.append(f"{type(error).__name__}: {error}")


class Tried:
    """A view in a server, with the objects of its fixture."""

    def __init__(self, server: ViewServer, view: View, fixture: Fixture) -> None:
        self.server = server
        self.view = view
        self.fixture = fixture
        self.clusters: dict[str, str] = {"root": "root"}
        self.user = fixture.allowed[0]
        self.errors = Errors()

    async def prepare(self) -> None:
        """Creates the workspaces and objects. Raises Failed."""
        for name in self.fixture.workspaces:
            self.clusters[name] = await self.server.workspace(name)
        for given in self.fixture.given:
            await self.create(given)

    @property
    def arguments(self) -> tuple[str, ...]:
        found: tuple[str, ...] = self._filled(self.fixture.arguments)
        return found

    @property
    def cluster(self) -> str:
        """The logical cluster of the place."""
        return self.clusters[self.fixture.cluster]

    @property
    def place(self) -> Place:
        """The place as methods of the view get it."""
        arguments = self.arguments
        cluster = self.cluster if self.view.per_cluster else (self.view.cluster_of(arguments) or "")
        return Place(arguments, cluster, self.server.range_of(cluster))

    @property
    def range(self) -> Range:
        """The range of the place."""
        return self.server.shard.cell.ranges[self.server.range_of(self.cluster)]

    @property
    def root(self) -> str:
        """The path of the place."""
        base = "/".join(("/services", self.view.name, *self.arguments)).removeprefix("/")
        return f"/{base}/clusters/{self.cluster}" if self.view.per_cluster else f"/{base}"

    @property
    def places(self) -> list[str]:
        """The path of the place, and of that of all logical clusters, if there is one."""
        if not self.view.per_cluster:
            return [self.root]
        base = "/".join(("services", self.view.name, *self.arguments))
        return [self.root, f"/ranges/{self.server.range_of(self.cluster)}/{base}/clusters/*"]

    async def get(self, path: str, user: User | None = None, *, query: str = "", accept: str = "") -> Answer:
        """The answer to a GET of a path in the place."""
        headers = {"accept": accept} if accept else {}
        return await self.server.call("GET", path, user or self.user, query=query, headers=headers)

    async def items(self, path: str, user: User | None = None, *, query: str = "") -> list[Object]:
        """The items of a list. Raises Failed."""
        answer = await self.get(path, user, query=query)
        if answer.status != 200:
            raise Failed(f"GET {path} is answered with {answer.status}: {message_of(answer)}")
        found: list[Object] = answer.body["items"]
        return found

    async def resources(self, root: str = "") -> list[Resource]:
        """The types that discovery lists, without subresources. Raises Failed."""
        root = root or self.root
        versions = [f"/api/{version}" for version in (await self._document(f"{root}/api")).get("versions") or ()]
        if versions and (await self.get(root + versions[0])).status == 404:
            # The core group is listed where it has no types too (Kubernetes).
            versions = []
        for group in (await self._document(f"{root}/apis")).get("groups") or ():
            versions += [f"/apis/{version['groupVersion']}" for version in group["versions"]]
        return [
            Resource(base, each["name"], each["kind"], each["namespaced"], tuple(each["verbs"]))
            for base in versions
            for each in (await self._document(f"{root}{base}"))["resources"]
            if "/" not in each["name"]
        ]

    async def listed(self) -> list[Resource]:
        """The types that can be listed and watched. Raises Failed if there are none."""
        found = [each for each in await self.resources() if {"list", "watch"} <= set(each.verbs)]
        if not found:
            raise Failed("discovery lists no type that can be listed and watched")
        return found

    async def create(self, given: Given) -> Object:
        """Creates an object in its workspace. Raises Failed."""
        obj: Object = self._filled(given.obj)
        path = await self._collection(given, obj)
        answer = await self.server.call("POST", path, given.user or MASTER, obj)
        if answer.status != 201:
            raise Failed(f"an object of the fixture cannot be created: POST {path}: {answer.status} {message_of(answer)}")
        await self.server.idle()
        made: Object = answer.body
        return made

    async def change(self, given: Given, label: str) -> None:
        """Sets a label of an object in its workspace. Raises Failed."""
        obj: Object = self._filled(given.obj)
        path = f"{await self._collection(given, obj)}/{obj['metadata']['name']}"
        body = {"metadata": {"labels": {"tenantry.check": label}}}
        headers = {"content-type": "application/merge-patch+json"}
        answer = await self.server.call("PATCH", path, MASTER, body, headers=headers)
        if answer.status != 200:
            raise Failed(f"an object of the fixture cannot be changed: PATCH {path}: {answer.status} {message_of(answer)}")
        await self.server.idle()

    async def delete(self, given: Given) -> None:
        """Deletes an object in its workspace. Returns when it is gone. Raises Failed."""
        obj: Object = self._filled(given.obj)
        path = f"{await self._collection(given, obj)}/{obj['metadata']['name']}"
        await self.server.call("DELETE", path)

        async def gone() -> bool:
            return (await self.server.call("GET", path)).status == 404

        if not await eventually(gone):
            raise Failed(f"an object of the fixture is not gone after DELETE {path}")

    async def later(self) -> tuple[Given, ...]:
        """The objects that are created, changed and deleted while watches run."""
        if self.fixture.later:
            return self.fixture.later
        served = {(each.api_version, each.kind) for each in await self.resources()}
        return tuple(
            Given(given.workspace, renamed(given.obj, f"{given.obj['metadata']['name']}-later"), given.user)
            for given in self.fixture.given
            if (given.obj.get("apiVersion"), given.obj.get("kind")) in served
        )

    async def _collection(self, given: Given, obj: Object) -> str:
        root = f"/clusters/{self.clusters[given.workspace]}"
        version = obj["apiVersion"]
        base = f"/apis/{version}" if "/" in version else f"/api/{version}"
        for each in (await self._document(f"{root}{base}", MASTER))["resources"]:
            if each["kind"] == obj["kind"] and "/" not in each["name"]:
                namespace = obj["metadata"].get("namespace", "default") if each["namespaced"] else ""
                return root + Resource(base, each["name"], each["kind"], each["namespaced"], ()).collection(namespace)
        raise Failed(f"an object of the fixture is a {obj['kind']} of {version}, which workspaces do not have")

    async def _document(self, path: str, user: User | None = None) -> Any:
        answer = await self.get(path, user)
        if answer.status != 200:
            raise Failed(f"discovery: GET {path} is answered with {answer.status}: {message_of(answer)}")
        return answer.body

    def _filled(self, value: Any) -> Any:
        """The value with the ids of workspaces in its texts."""
        return filled(value, self.clusters)


def filled(value: Any, clusters: Mapping[str, str]) -> Any:
    """A copy of a JSON value with `$(name)` replaced by the id of the workspace of that name."""
    if isinstance(value, str):
        for name, cluster in clusters.items():
            value = value.replace(f"$({name})", cluster)
        return value
    if isinstance(value, dict):
        return {filled(key, clusters): filled(each, clusters) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(filled(each, clusters) for each in value)
    return value


def renamed(obj: Object, name: str) -> Object:
    """A copy of an object with another name."""
    return {**obj, "metadata": {**obj["metadata"], "name": name}}


def place_of(obj: Object) -> ObjectPlace:
    """Where an object is, as the client sees it."""
    metadata = obj["metadata"]
    cluster = (metadata.get("annotations") or {}).get("kcp.io/cluster", "")
    return cluster, metadata.get("namespace", ""), metadata.get("name", "")


def by_place(objects: Iterable[Object]) -> dict[ObjectPlace, Object]:
    """The objects by place, without apiVersion and kind, which items of lists may lack."""
    return {place_of(obj): {k: v for k, v in obj.items() if k not in ("apiVersion", "kind")} for obj in objects}


def message_of(answer: Answer) -> str:
    """The text of an error."""
    return str(answer.body.get("message", "")) if isinstance(answer.body, dict) else str(answer.body).strip()


def difference(wanted: Mapping[ObjectPlace, Object], found: Mapping[ObjectPlace, Object]) -> str:
    """What is different, in words; empty if nothing is."""
    for place in wanted.keys() - found.keys():
        return f"{_named(place)} is missing"
    for place in found.keys() - wanted.keys():
        return f"{_named(place)} should not be there"
    for place, obj in wanted.items():
        if obj != found[place]:
            fields = [name for name in {*obj, *found[place]} if obj.get(name) != found[place].get(name)]
            return f"{_named(place)} differs in {', '.join(sorted(fields))}"
    return ""


def without_server_fields(obj: Object) -> Object:
    """The object without what the server sets."""
    metadata = {name: value for name, value in obj["metadata"].items() if name not in _SERVER_FIELDS}
    return {**obj, "metadata": metadata}


def _named(place: ObjectPlace) -> str:
    return "/".join(part for part in place[1:] if part) + (f" of {place[0]}" if place[0] else "")
