"""Takes objects up: what is labelled `Upsync` in the namespaces of a SyncTarget below becomes an object above."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from tenantry.base.tasks import restarting
from tenantry_sync_agent import metrics
from tenantry_sync_agent.api_client import ApiClient, ApiError, Object
from tenantry_sync_agent.discovery import NAMESPACES, Type
from tenantry_sync_agent.followed import BothSides, TypeName, cancelled
from tenantry_sync_agent.reflector import Place, Reflector
from tenantry_sync_agent.steps import Stale
from tenantry_sync_agent.translation import cluster_of, merge_patch, origin, raised
from tenantry_sync_agent.workers import Workers
from tenantry_syncer.names import (
    OWNER_LABEL,
    STATE_LABEL_PREFIX,
    UPSTREAM_VERSION_ANNOTATION,
    UPSYNC,
    Target,
    downstream_namespace,
)

logger = logging.getLogger(__name__)

_NOT_FOUND = 404


class UpStep(Enum):
    """What to do above for an object below."""

    NOTHING = auto()
    CREATE = auto()
    WRITE = auto()
    WRITE_STATUS = auto()
    DELETE = auto()


def next_up_step(up: Object | None, down: Object | None, *, located: bool, has_status: bool) -> UpStep:
    """The next step for an object. `located`: whether its namespace below is one of the SyncTarget.

    The annotation with the version below is written with the content and says that it is above; a status is compared itself.
    """
    if down is None or down["metadata"].get("deletionTimestamp"):
        return UpStep.NOTHING if up is None or up["metadata"].get("deletionTimestamp") else UpStep.DELETE
    if not located or (up is not None and up["metadata"].get("deletionTimestamp")):
        return UpStep.NOTHING
    if up is None:
        return UpStep.CREATE
    if (up["metadata"].get("annotations") or {}).get(UPSTREAM_VERSION_ANNOTATION) != down["metadata"]["resourceVersion"]:
        return UpStep.WRITE
    # One that was made again below has no status yet, and the old one is not its own.
    if has_status and (down.get("status") or {}) != (up.get("status") or {}):
        return UpStep.WRITE_STATUS
    return UpStep.NOTHING


class _Item(NamedTuple):
    """The object of a type at a place below."""

    type: TypeName
    place: Place


class Upsyncer:
    """Takes objects up until it is cancelled. `check`: raises NotLeading if this process must not write."""

    def __init__(self, above: ApiClient, below: ApiClient, target: Target, *, workers: int, check: Callable[[], None]) -> None:
        self._above = above
        self._below = below
        self._target = target
        self._check = check
        self._followed = BothSides(self._reflector_above, self._reflector_below)
        self._workers: Workers[_Item] = Workers(self._sync, number=workers, name="up-worker")
        self.queue = self._workers.queue
        self._following: list[asyncio.Task[None]] = []
        self._namespaces = Reflector(
            below,
            below.server + NAMESPACES.path(),
            key=lambda obj: Place("", obj["metadata"]["name"], ""),
            changed=self._namespace_changed,
            labelSelector=f"{OWNER_LABEL}={target.key}",
        )

    async def start(self) -> None:
        self._following.append(restarting(self._namespaces.run, name="upsynced-namespaces"))
        self._workers.start()

    async def stop(self) -> None:
        await self._workers.stop()
        await cancelled(self._following)
        await self._followed.stop()

    async def update(self, urls: Iterable[str], types: Mapping[TypeName, Type]) -> None:
        """Follows these URLs of the view and these types from now on."""
        await self._followed.update(urls, types)

    def _reflector_above(self, url: str, name: TypeName, kind: Type) -> Reflector:
        changed = partial(self._changed, name)
        return Reflector(self._above, f"{url}/clusters/*{kind.path()}", key=self._place_of_up, changed=changed)

    def _reflector_below(self, name: TypeName, kind: Type) -> Reflector:
        url, changed = self._below.server + kind.path(), partial(self._changed, name)
        selector = f"{STATE_LABEL_PREFIX}{self._target.key}={UPSYNC}"
        return Reflector(self._below, url, key=_place_of_down, changed=changed, labelSelector=selector)

    async def _changed(self, name: TypeName, place: Place) -> None:
        await self.queue.room()
        self.queue.add(_Item(name, place))

    async def _namespace_changed(self, namespace: Place) -> None:
        for name, followed in self._followed.down.items():
            for place in followed.reflector:
                if place.namespace == namespace.namespace:
                    await self._changed(name, place)

    def _place_of_up(self, obj: Object) -> Place:
        """The place below of an object above."""
        metadata = obj["metadata"]
        namespace = downstream_namespace(self._target, cluster_of(obj), metadata.get("namespace", ""))
        return Place("", namespace, metadata["name"])

    async def _sync(self, item: _Item) -> None:
        kind = self._followed.types.get(item.type)
        if kind is None:
            return
        copies, down_copy = self._followed.copies(item.type)
        if not self._namespaces.synced.is_set():
            raise Stale
        url = next((url for url, copy in copies.items() if copy.get(item.place) is not None), "")
        up, down = copies[url].get(item.place) if url else None, down_copy.get(item.place)
        namespace = self._namespaces.get(Place("", item.place.namespace, ""))
        found = origin(namespace, self._target) if namespace is not None else None
        while True:
            step = next_up_step(up, down, located=found is not None, has_status=kind.has_status)
            if step is UpStep.NOTHING:
                return
            metrics.STEPS.labels(f"up_{step.name.lower()}").inc()
            self._check()
            if step is UpStep.DELETE:
                assert up is not None
                await self._delete(kind, item.place, url, up)
                return
            assert down is not None
            if step is UpStep.CREATE:
                assert found is not None
                url, up = await self._create(kind, found, down)
                continue
            assert up is not None
            path = self._path(kind, url, up)
            precondition = {"resourceVersion": up["metadata"]["resourceVersion"], "uid": up["metadata"]["uid"]}
            if step is UpStep.WRITE_STATUS:
                status = merge_patch(up.get("status") or {}, down.get("status") or {})
                up = await self._above.patch(f"{path}/status", {"metadata": precondition, "status": status})
                # A status that the type above does not take whole would be written at each event.
                return
            wanted = raised(down, self._target)
            patch = {name: merge_patch(up.get(name), value) for name, value in wanted.items() if name not in _IDENTITY}
            patch |= {name: None for name in up if name not in wanted and name not in ("metadata", "status", *_IDENTITY)}
            patch["metadata"] = {**wanted["metadata"], **precondition}
            up = await self._above.patch(path, patch)

    async def _create(self, kind: Type, place: tuple[str, str], down: Object) -> tuple[str, Object]:
        """(URL of the view, the object): creates it in its logical cluster, wherever that is."""
        cluster, namespace = place
        refused: ApiError | None = None
        for url in self._followed.urls:
            try:
                return url, await self._above.create(
                    f"{url}/clusters/{cluster}{kind.path(namespace)}", raised(down, self._target)
                )
            except ApiError as error:
                # The logical cluster is in another range: an answer without a Status.
                if error.code != _NOT_FOUND or error.reason:
                    raise
                refused = error
        assert refused is not None
        raise refused

    async def _delete(self, kind: Type, place: Place, url: str, up: Object) -> None:
        """Deletes the object above, if the server below says that it has none, or that it is being deleted."""
        try:
            found = await self._below.get(self._below.server + kind.path(place.namespace, place.name))
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
        else:
            labels = found["metadata"].get("labels") or {}
            if labels.get(STATE_LABEL_PREFIX + self._target.key) == UPSYNC and not found["metadata"].get("deletionTimestamp"):
                raise Stale
        self._check()
        try:
            await self._above.delete(self._path(kind, url, up), uid=up["metadata"]["uid"])
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise

    def _path(self, kind: Type, url: str, up: Object) -> str:
        metadata = up["metadata"]
        return f"{url}/clusters/{cluster_of(up)}{kind.path(metadata['namespace'], metadata['name'])}"


_IDENTITY = ("apiVersion", "kind", "metadata")


def _place_of_down(obj: Object) -> Place:
    return Place("", obj["metadata"]["namespace"], obj["metadata"]["name"])
