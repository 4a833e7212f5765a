"""Syncs the objects of a SyncTarget: follows both servers, and takes the steps that `decisions` names."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from tenantry.base.tasks import restarting
from tenantry_sync_agent import metrics
from tenantry_sync_agent.api_client import ApiClient, ApiError, Object, Unreachable
from tenantry_sync_agent.decisions import Step, next_step
from tenantry_sync_agent.discovery import NAMESPACES, Type
from tenantry_sync_agent.election import NotLeading
from tenantry_sync_agent.followed import Followed, cancelled, follow
from tenantry_sync_agent.reflector import Place, Reflector
from tenantry_sync_agent.steps import Blocked, Stale, Steps
from tenantry_sync_agent.translation import cluster_of, origin
from tenantry_sync_agent.work_queue import WorkQueue
from tenantry_syncer.names import OWNER_LABEL, Target, downstream_namespace

logger = logging.getLogger(__name__)

QUEUE_KEYS_MAX = 10_000
_STEPS_MAX = 8
_BLOCKED_PAUSE_SECONDS = 30.0
"""Before it is looked whether what blocks an object is gone, of which no watch tells."""
_NAMESPACE = ("", "")
"""Stands for a namespace below, instead of a type."""
_EVERYWHERE = frozenset({("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")})
"""What Kubernetes puts into each namespace."""
_EXPECTED = frozenset({404, 409, 410, 429})
"""Another writer was faster, or the server is busy: the next attempt is better."""


class Item(NamedTuple):
    """What a worker does at once: the object of a type at a place above, or a namespace below."""

    type: tuple[str, str]
    place: Place


class Syncer:
    """Syncs until it is cancelled. `check`: raises NotLeading if this process must not write."""

    def __init__(self, above: ApiClient, below: ApiClient, target: Target, *, workers: int, check: Callable[[], None]) -> None:
        self.queue: WorkQueue[Item] = WorkQueue(QUEUE_KEYS_MAX)
        self.types: dict[tuple[str, str], Type] = {}
        self._above = above
        self._below = below
        self._target = target
        self._workers = workers
        self._check = check
        self._urls: tuple[str, ...] = ()
        self._contents: tuple[Type, ...] = ()
        self._ending = False
        self._up: dict[tuple[str, tuple[str, str]], Followed] = {}
        self._down: dict[tuple[str, str], Followed] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._namespaces: Reflector | None = None
        self._steps = Steps(above, below, target, check)

    async def start(self) -> None:
        """Follows the namespaces below, and starts the workers."""
        url = self._below.server + NAMESPACES.path()
        owned = f"{OWNER_LABEL}={self._target.key}"
        changed = partial(self._changed, _NAMESPACE)
        self._namespaces = Reflector(self._below, url, key=self._namespace_place, changed=changed, labelSelector=owned)
        self._tasks.append(restarting(self._namespaces.run, name="namespaces"))
        self._tasks += [restarting(self._work, name=f"worker-{number}") for number in range(self._workers)]

    async def stop(self) -> None:
        followed = [*self._up.values(), *self._down.values()]
        await cancelled([*self._tasks, *(one.task for one in followed)])
        self.queue.stop()
        self._up.clear()
        self._down.clear()

    async def update(
        self, urls: Iterable[str], types: Mapping[tuple[str, str], Type], contents: Iterable[Type] | None = None
    ) -> None:
        """Follows these URLs of the view and these types from now on. Objects of a URL or type that is not named any more stay
        below as they are.

        `contents`: types below without whose objects a namespace counts as empty: also those that are not synced yet. By default
        `types`.
        """
        self._urls = tuple(urls)
        self._contents = tuple(types.values() if contents is None else contents)
        gone = [one for one in self._up if one[0] not in self._urls or types.get(one[1]) != self.types.get(one[1])]
        gone_types = [name for name, kind in self.types.items() if types.get(name) != kind]
        ended = [self._up.pop(one) for one in gone] + [self._down.pop(name) for name in gone_types]
        await cancelled([one.task for one in ended])
        self.types = dict(types)
        for name, kind in types.items():
            changed = partial(self._changed, name)
            for url in self._urls:
                if (url, name) not in self._up:
                    place = f"{url}/clusters/*{kind.path()}"
                    self._up[url, name] = follow(Reflector(self._above, place, key=_place_above, changed=changed))
            if name not in self._down:
                place, owned = self._below.server + kind.path(), f"{OWNER_LABEL}={self._target.key}"
                reflector = Reflector(self._below, place, key=self._place_below, changed=changed, labelSelector=owned)
                self._down[name] = follow(reflector)

    def end(self) -> None:
        """Gives every object back from now on: it goes below, and its finalizer above."""
        if self._ending:
            return
        self._ending = True
        followed = [(name, one) for (_, name), one in self._up.items()] + list(self._down.items())
        for name, one in followed:
            for place in one.reflector:
                self.queue.add(Item(name, place))

    @property
    def ended(self) -> bool:
        """Whether everything was given back after `end`."""
        if not (self._ending and self.synced) or any(len(one.reflector) for one in self._down.values()):
            return False
        finalizer = self._target.finalizer
        copies = (one.reflector for one in self._up.values())
        return not any(finalizer in (obj["metadata"].get("finalizers") or ()) for copy in copies for obj in copy.objects())

    @property
    def synced(self) -> bool:
        """Whether everything that is followed was listed."""
        followed = [*self._up.values(), *self._down.values()]
        return bool(self._urls) and bool(self._down) and all(one.reflector.synced.is_set() for one in followed)

    def count(self) -> tuple[int, int]:
        """The number of objects in memory, above and below."""
        return sum(len(one.reflector) for one in self._up.values()), sum(len(one.reflector) for one in self._down.values())

    async def _changed(self, name: tuple[str, str], place: Place) -> None:
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

    async def _work(self) -> None:
        while True:
            item = await self.queue.get()
            began = time.monotonic()
            at_least = None
            try:
                at_least = await self._attempt(item)
            except BaseException:
                self.queue.retry(item)
                raise
            if at_least is None:
                self.queue.done(item)
            else:
                self.queue.retry(item, at_least)
            metrics.RECONCILE.observe(time.monotonic() - began)

    async def _attempt(self, item: Item) -> float | None:
        """None when it is done, or the shortest pause in seconds before the next attempt."""
        try:
            if item.type == _NAMESPACE:
                await self._sync_namespace(item.place)
            else:
                await self._sync(item)
        except Blocked:
            return _BLOCKED_PAUSE_SECONDS
        except Stale:
            return 0.0
        except NotLeading:
            # The work ends with the lease.
            return 1.0
        except ApiError as error:
            metrics.FAILURES.labels(error.reason or str(error.code)).inc()
            (logger.debug if error.code in _EXPECTED else logger.warning)("%s: %s", item, error)
            return 0.0
        except Unreachable as error:
            metrics.FAILURES.labels("Unreachable").inc()
            logger.warning("%s: %s", item, error)
            return 0.0
        except Exception as error:  # an object of a tenant may have any form, and must not keep a worker from the others
            metrics.FAILURES.labels(type(error).__name__).inc()
            logger.exception("%s cannot be synced", item)
            return 0.0
        return None

    async def _sync(self, item: Item) -> None:
        kind = self.types.get(item.type)
        if kind is None:
            return
        down_copy, up_copies = self._copies(item.type)
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
                await self._steps.delete_orphan(kind, place, down or {}, self._urls)
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

    def _copies(self, name: tuple[str, str]) -> tuple[Reflector, dict[str, Reflector]]:
        """The objects of a type below, and above by URL. Raises Stale while they were not all listed."""
        down = self._down.get(name)
        up = {url: one for url in self._urls if (one := self._up.get((url, name))) is not None}
        # While `update` runs, not everything is followed.
        if down is None or len(up) < len(self._urls):
            raise Stale
        if not all(one.reflector.synced.is_set() for one in (down, *up.values())):
            raise Stale
        return down.reflector, {url: one.reflector for url, one in up.items()}

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
        followed = [*self._up.values(), *self._down.values()]
        return any(namespace in one.reflector.namespaces for one in followed)


def _deleted(up: Object) -> Object:
    """The object as if it was being deleted."""
    metadata = up["metadata"]
    return {**up, "metadata": {"deletionTimestamp": metadata.get("creationTimestamp") or "now", **metadata}}


def _place_above(obj: Object) -> Place:
    metadata = obj["metadata"]
    return Place(cluster_of(obj), metadata.get("namespace", ""), metadata["name"])
