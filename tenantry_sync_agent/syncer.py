"""Syncs the objects of a SyncTarget: follows both servers, and takes the steps that `decisions` names."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from tenantry.base.tasks import restarting
from tenantry_sync_agent import metrics
from tenantry_sync_agent.api_client import ApiClient, Object
from tenantry_sync_agent.decisions import Step, next_step
from tenantry_sync_agent.discovery import NAMESPACES, Type
from tenantry_sync_agent.followed import BothSides, TypeName, cancelled
from tenantry_sync_agent.reflector import Place, Reflector
from tenantry_sync_agent.steps import Stale, Steps
from tenantry_sync_agent.translation import cluster_of, origin
from tenantry_sync_agent.workers import Workers
from tenantry_syncer.names import OWNER_LABEL, Target, downstream_namespace

logger = logging.getLogger(__name__)

_STEPS_MAX = 8
_NAMESPACE = ("", "")
"""Stands for a namespace below, instead of a type."""
_EVERYWHERE = frozenset({("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")})
"""What Kubernetes puts into each namespace."""


class Item(NamedTuple):
    """What a worker does at once: the object of a type at a place above, or a namespace below."""

    type: TypeName
    place: Place


class Syncer:
    """Syncs until it is cancelled. `check`: raises NotLeading if this process must not write."""

    def __init__(self, above: ApiClient, below: ApiClient, target: Target, *, workers: int, check: Callable[[], None]) -> None:
        self._above = above
        self._below = below
        self._target = target
        self._check = check
        self._contents: tuple[Type, ...] = ()
        self._ending = False
        self._followed = BothSides(self._reflector_above, self._reflector_below)
        self._workers: Workers[Item] = Workers(self._sync, number=workers, name="worker")
        self.queue = self._workers.queue
        self._namespaces: Reflector | None = None
        self._following: list[asyncio.Task[None]] = []
        self._steps = Steps(above, below, target, check)

    async def start(self) -> None:
        """Follows the namespaces below, and starts the workers."""
        url = self._below.server + NAMESPACES.path()
        changed = partial(self._changed, _NAMESPACE)
        self._namespaces = Reflector(self._below, url, key=self._namespace_place, changed=changed, labelSelector=self._owned)
        self._following.append(restarting(self._namespaces.run, name="namespaces"))
        self._workers.start()

    async def stop(self) -> None:
        await self._workers.stop()
        await cancelled(self._following)
        await self._followed.stop()

    async def update(self, urls: Iterable[str], types: Mapping[TypeName, Type], contents: Iterable[Type] | None = None) -> None:
        """Follows these URLs of the view and these types from now on. Objects of a URL or type that is not named any more stay
        below as they are.

        `contents`: types below without whose objects a namespace counts as empty: also those that are not synced yet. By default
        `types`.
        """
        self._contents = tuple(types.values() if contents is None else contents)
        await self._followed.update(urls, types)

    def end(self) -> None:
        """Gives every object back from now on: it goes below, and its finalizer above."""
        if self._ending:
            return
        self._ending = True
        followed = [(name, one) for (_, name), one in self._followed.up.items()] + list(self._followed.down.items())
        for name, one in followed:
            for place in one.reflector:
                self.queue.add(Item(name, place))

    @property
    def ended(self) -> bool:
        """Whether everything was given back after `end`."""
        if not (self._ending and self.synced) or any(len(one.reflector) for one in self._followed.down.values()):
            return False
        finalizer = self._target.finalizer
        copies = (one.reflector for one in self._followed.up.values())
        return not any(finalizer in (obj["metadata"].get("finalizers") or ()) for copy in copies for obj in copy.objects())

    @property
    def synced(self) -> bool:
        """Whether everything that is followed was listed."""
        return self._followed.synced

    def count(self) -> tuple[int, int]:
        """The number of objects in memory, above and below."""
        up, down = self._followed.up.values(), self._followed.down.values()
        return sum(len(one.reflector) for one in up), sum(len(one.reflector) for one in down)

    @property
    def _owned(self) -> str:
        return f"{OWNER_LABEL}={self._target.key}"

    def _reflector_above(self, url: str, name: TypeName, kind: Type) -> Reflector:
        changed = partial(self._changed, name)
        return Reflector(self._above, f"{url}/clusters/*{kind.path()}", key=_place_above, changed=changed)

    def _reflector_below(self, name: TypeName, kind: Type) -> Reflector:
        url, changed = self._below.server + kind.path(), partial(self._changed, name)
        return Reflector(self._below, url, key=self._place_below, changed=changed, labelSelector=self._owned)

    async def _changed(self, name: TypeName, place: Place) -> None:
        if place.cluster:
            await self.queue.room()
            self.queue.add(Item(name, place))

    def _place_below(self, obj: Object) -> Place:
        """The place above of an object below; without a cluster if it does not say."""
        metadata = obj["metadata"]
        found = origin(obj, self._target)
        if found is None or metadata["namespace"] != downstream_namespace(self._target, *found):
            return Place("", metadata["namespace"], metadata["name"])
        return Place(*found, metadata["name"])

    def _namespace_place(self, obj: Object) -> Place:
        found = origin(obj, self._target)
        name = obj["metadata"]["name"]
        return (
            Place(*found, "") if found is not None and name == downstream_namespace(self._target, *found) else Place("", "", name)
        )

    async def _sync(self, item: Item) -> None:
        if item.type == _NAMESPACE:
            await self._sync_namespace(item.place)
            return
        kind = self._followed.types.get(item.type)
        if kind is None:
            return
        up_copies, down_copy = self._followed.copies(item.type)
        place = item.place
        url = next((url for url, copy in up_copies.items() if copy.get(place) is not None), "")
        up = up_copies[url].get(place) if url else None
        down = down_copy.get(place)
        if up is not None and self._ending:
            up = _deleted(up)
        for _ in range(_STEPS_MAX):
            applied = up is not None and down is not None and self._steps.is_applied(kind, place, up, down)
            step = next_step(up, down, self._target, has_status=kind.has_status, applied=applied)
            if step in (Step.NOTHING, Step.WAIT):
                break
            metrics.STEPS.labels(step.name.lower()).inc()
            if step is Step.DELETE_ORPHAN:
                await self._steps.delete_orphan(kind, place, down or {}, self._followed.urls)
                break
            assert up is not None
            made = await self._steps.take(step, kind, url, place, up, down)
            if made is None:
                break
            up, down = made
            if step is Step.WRITE_STATUS:
                # A status that the type above does not take whole would be written at each turn of the loop.
                break
        if up is None or up["metadata"].get("deletionTimestamp"):
            self._look_at_namespace(place)

    def _look_at_namespace(self, place: Place) -> None:
        if not self._in_use(place[:2]):
            self.queue.add(Item(_NAMESPACE, Place(place.cluster, place.namespace, "")))

    async def _sync_namespace(self, place: Place) -> None:
        """Deletes a namespace below in which nothing is left of what is above or was."""
        namespaces = self._namespaces
        assert namespaces is not None
        found = namespaces.get(place)
        if found is None or found["metadata"].get("deletionTimestamp") or self._in_use(place[:2]):
            return
        if not self.synced:
            raise Stale
        name = found["metadata"]["name"]
        if await self._has_content(name):
            logger.info("namespace %s is kept: it has objects of others", name)
            return
        self._check()
        await self._below.delete(f"{self._below.server}{NAMESPACES.path('', name)}", uid=found["metadata"]["uid"])
        metrics.STEPS.labels("delete_namespace").inc()

    async def _has_content(self, namespace: str) -> bool:
        """Whether a namespace below has objects of the types of the SyncTarget, also those of others."""
        for kind in self._contents:
            found, _ = await self._below.list(self._below.server + kind.path(namespace))
            if any((kind.plural, item["metadata"]["name"]) not in _EVERYWHERE for item in found):
                return True
        return False

    def _in_use(self, namespace: tuple[str, str]) -> bool:
        return any(namespace in copy.namespaces for copy in self._followed.reflectors)


def _deleted(up: Object) -> Object:
    """The object as if it was being deleted."""
    metadata = up["metadata"]
    return {**up, "metadata": {"deletionTimestamp": metadata.get("creationTimestamp") or "now", **metadata}}


def _place_above(obj: Object) -> Place:
    metadata = obj["metadata"]
    return Place(cluster_of(obj), metadata.get("namespace", ""), metadata["name"])
