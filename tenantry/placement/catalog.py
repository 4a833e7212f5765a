"""The catalog of one process: copies of the objects of other ranges that every shard needs.

A copy is written in the transaction of its original. The copies that this shard writes are applied when they are committed, so
the shard reads its own writes. The copies of other shards arrive by a watch of the store.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

import orjson

from tenantry.base.broadcast import Broadcast, KeyedBroadcast
from tenantry.base.cache import Cache
from tenantry.base.tasks import call, call_each
from tenantry.base.time_slices import in_slices
from tenantry.kube.decoded_size import decoded_bytes
from tenantry.kube.objects import Object
from tenantry.storage.follower import Follower
from tenantry.storage.keys import CATALOG, prefix_end
from tenantry.storage.record import Change
from tenantry.storage.store import Batch, Page, Store

logger = logging.getLogger(__name__)

PREFIX = CATALOG.encode()
DECODED_AGAIN_BYTES = 256
"""Copies up to this size are decoded at each use (0.5 µs). Caching them would take 400 bytes for each tenant."""

_decoded: Cache[int, Object] = Cache("catalog_objects", bytes_max=128 << 20)
"""Decoded copies by the number of their entry. An entry gets its number when it is decoded for the first time."""
_numbers = count(1)

Subscriber = Callable[[str, str, str, Object | None], None]
"""Called with resource, cluster, name and the present object (None: deleted). Runs on the event loop and must not block."""


class Entry:
    """One copy, decoded when it is read. `raw`: the copy as JSON. `revision`: the store's revision that wrote it."""

    __slots__ = ("_number", "raw", "revision")

    def __init__(self, raw: bytes, revision: int) -> None:
        self.raw = raw
        self.revision = revision
        self._number: int | None = None

    @property
    def object(self) -> Object:
        if len(self.raw) <= DECODED_AGAIN_BYTES:
            decoded: Object = orjson.loads(self.raw)
            return decoded
        if self._number is None:
            self._number = next(_numbers)
        found = _decoded.get(self._number)
        if found is None:
            found = orjson.loads(self.raw)
            _decoded.put(self._number, found, decoded_bytes(self.raw))
        return found

    def decode(self) -> Object:
        """The copy, decoded for the caller and not kept: for those who read many copies once."""
        decoded: Object = orjson.loads(self.raw)
        return decoded


class Tally(NamedTuple):
    """The copies of one cluster of a tallied resource. `change`: a number that no other state has. `revision`: the store's, of
    the last change."""

    objects: int
    size_bytes: int
    change: int
    revision: int


_NONE = Tally(0, 0, 0, 0)


class Catalog:
    """The copies by resource, cluster and name. Look-ups are synchronous.

    `resource` is `<group|core>/<plural>` without identity, for example `apis.kcp.io/apiexports`. Returned objects are shared:
    do not change them.

    `tallied`: resources with many large copies. The catalog tallies them by cluster, and their changes can be followed by
    cluster, so that no shard decodes them for that.
    `progress`: whether `reached` is called for many requests; what it costs then is told in `storage.follower.Follower`.
    """

    def __init__(self, store: Store, *, tallied: Collection[str] = (), progress: bool = False) -> None:
        self._progress = progress
        self._entries: dict[str, dict[str, dict[str, Entry]]] = {}
        self._gone: dict[bytes, int] = {}
        """Deleted copies: key → revision. Kept until the watch has passed the revision, so that older events are ignored."""
        self._indexes: dict[str, list[Subscriber]] = {}
        self._changes: KeyedBroadcast[str, [str, str, str, Object | None]] = KeyedBroadcast("a subscriber of a resource's copies")
        self._all_changes: Broadcast[[str, str, str, Object | None]] = Broadcast("a subscriber of the catalog")
        self._tallies: dict[str, dict[str, Tally]] = {resource: {} for resource in tallied}
        self._tally_indexes: dict[str, list[Callable[[str, bool], None]]] = {}
        self._tallied: KeyedBroadcast[tuple[str, str], [str]] = KeyedBroadcast("a subscriber of the copies of a cluster")
        self._follower = Follower(
            store,
            [(PREFIX, prefix_end(PREFIX))],
            load=self._load,
            changed=self._changed,
            name="the catalog",
            progress=progress,
        )

    def get(self, resource: str, cluster: str, name: str) -> Object | None:
        entry = self.entry(resource, cluster, name)
        return entry.object if entry is not None else None

    def entry(self, resource: str, cluster: str, name: str) -> Entry | None:
        """The copy with its bytes and its revision, for callers that cache what they derive from it. None if there is none."""
        by_name = self._entries.get(resource, {}).get(cluster)
        return by_name.get(name) if by_name is not None else None

    def list(self, resource: str, cluster: str | None = None) -> list[tuple[str, str, Object]]:
        """(cluster, name, object) of every copy, or of the copies of one cluster. The order has no meaning."""
        by_cluster = self._entries.get(resource, {})
        clusters = by_cluster.keys() if cluster is None else (cluster,)
        return [(c, name, entry.object) for c in clusters for name, entry in by_cluster.get(c, {}).items()]

    def each(self, resource: str) -> Iterator[tuple[str, str, Object]]:
        """As `list` for all clusters, but lazy: one copy is decoded at a time. Do not await and do not change the catalog during
        the iteration."""
        for cluster, by_name in self._entries.get(resource, {}).items():
            for name, entry in by_name.items():
                yield cluster, name, entry.object

    def names(self, resource: str) -> Iterator[tuple[str, Iterable[str]]]:
        """The clusters that have copies, each with the names. The catalog may change during the iteration, so that it can run in
        slices."""
        for cluster, by_name in tuple(self._entries.get(resource, {}).items()):
            yield cluster, tuple(by_name)

    def names_in(self, resource: str, cluster: str) -> Iterable[str]:
        """The present names in one cluster."""
        return tuple(self._entries.get(resource, {}).get(cluster, ()))

    def has_any(self, resource: str, cluster: str) -> bool:
        return bool(self._entries.get(resource, {}).get(cluster))

    def entries(self, resource: str, cluster: str) -> Sequence[tuple[str, Entry]]:
        """(name, copy) of every copy in one cluster, not decoded. The order has no meaning."""
        return tuple(self._entries.get(resource, {}).get(cluster, {}).items())

    def tally(self, resource: str, cluster: str) -> Tally:
        """The copies of one cluster of a tallied resource."""
        return self._tallies[resource].get(cluster, _NONE)

    def index_tallies(self, resource: str, callback: Callable[[str, bool], None]) -> None:
        """Calls back with a cluster of a tallied resource when it gets its first copy (True), and when it has lost the last
        (False)."""
        self._tally_indexes.setdefault(resource, []).append(callback)

    def follow_tally(self, resource: str, cluster: str, changed: Callable[[str], None]) -> Callable[[], None]:
        """Calls `changed` after every later change of a tally, with the name of the copy that has changed. Returns a function
        that ends this."""
        return self._tallied.subscribe((resource, cluster), changed)

    def subscribe(self, resource: str | None, callback: Subscriber) -> Callable[[], None]:
        """Calls `callback` for every later change of a resource (None: of any resource). Returns how to unsubscribe."""
        if resource is None:
            return self._all_changes.subscribe(callback)
        return self._changes.subscribe(resource, callback)

    def index(self, resource: str, callback: Subscriber) -> None:
        """Calls back for every later change of a resource before any subscriber does, for indexes that subscribers look up."""
        self._indexes.setdefault(resource, []).append(callback)

    @property
    def following(self) -> bool:
        """Whether changes of other shards arrive: False while the watch of the store is interrupted."""
        return self._follower.following

    @property
    def revision(self) -> int:
        """The store's revision up to which the catalog is complete. It may have later changes too."""
        return self._follower.revision

    async def start(self) -> None:
        """Reads all copies, then follows their changes. Raises StoreError if the store cannot be read."""
        await self._follower.start()

    async def stop(self) -> None:
        await self._follower.stop()

    async def reached(self, revision: int) -> None:
        """Returns when the catalog is complete up to a revision of the store. May be called before `start`. Raises StoreError."""
        if self._progress and self._follower.following:
            await self._follower.progressed(revision)
        else:
            await self._follower.reached(revision)

    def committed(self, revision: int, changes: Sequence[Change]) -> None:
        """Applies the copies that this shard committed. It subscribes to `Cell.commits`, which runs before the writer gets its
        answer."""
        for change in changes:
            for key, value in change.catalog.items():
                self._apply(revision, key, value)

    async def _load(self, pages: AsyncIterator[Page]) -> None:
        seen: set[bytes] = set()
        revision = 0
        async for page in pages:
            revision = page.revision
            async for kv in in_slices(page.kvs):
                seen.add(kv.key)
                self._apply(kv.mod_revision, kv.key, kv.value)
        async for key, written in in_slices(self._keys()):
            if key not in seen and written <= revision:
                self._apply(revision, key, None)

    def _changed(self, batch: Batch) -> None:
        for event in batch.events:
            self._apply(event.kv.mod_revision, event.kv.key, None if event.deleted else event.kv.value)
        if self._gone:
            self._gone = {key: revision for key, revision in self._gone.items() if revision > batch.revision}

    def _keys(self) -> Iterator[tuple[bytes, int]]:
        for resource, by_cluster in tuple(self._entries.items()):
            for cluster, by_name in tuple(by_cluster.items()):
                for name, entry in tuple(by_name.items()):
                    yield f"{CATALOG}{resource}/{cluster}/{name}".encode(), entry.revision

    def _apply(self, revision: int, key: bytes, value: bytes | None) -> None:
        try:
            group, plural, cluster, name = key.decode().removeprefix(CATALOG).split("/", 3)
        except ValueError:
            logger.error("skipping an unreadable key of the catalog", extra={"key": repr(key)})
            return
        resource = f"{group}/{plural}"
        by_cluster = self._entries.setdefault(resource, {})
        entry = by_cluster.get(cluster, {}).get(name)
        if (entry is not None and entry.revision >= revision) or self._gone.get(key, 0) >= revision:
            return
        if value is None:
            self._gone[key] = revision
            if entry is None:
                return
            del by_cluster[cluster][name]
            if not by_cluster[cluster]:
                del by_cluster[cluster]
            now = None
        else:
            by_cluster.setdefault(cluster, {})[name] = fresh = Entry(value, revision)
            now = fresh
        if resource in self._tallies:
            self._count(resource, cluster, name, entry, now, revision)
        if resource in self._changes or self._all_changes or resource in self._indexes:
            call(self._notify, f"decoding a copy of {resource}", resource, cluster, name, now)

    def _count(self, resource: str, cluster: str, name: str, before: Entry | None, now: Entry | None, revision: int) -> None:
        tallies = self._tallies[resource]
        objects, size, _, last = tallies.get(cluster, _NONE)
        objects += (now is not None) - (before is not None)
        size += (len(now.raw) if now is not None else 0) - (len(before.raw) if before is not None else 0)
        known = cluster in tallies
        if objects:
            tallies[cluster] = Tally(objects, size, next(_numbers), max(last, revision))
        else:
            tallies.pop(cluster, None)
        if known != bool(objects):
            call_each(self._tally_indexes.get(resource, ()), "an index of tallies", cluster, bool(objects))
        self._tallied.send((resource, cluster), name)

    def _notify(self, resource: str, cluster: str, name: str, now: Entry | None) -> None:
        obj = now.object if now is not None else None
        call_each(self._indexes.get(resource, ()), "an index of the catalog", resource, cluster, name, obj)
        self._changes.send(resource, resource, cluster, name, obj)
        self._all_changes.send(resource, cluster, name, obj)
