"""Which views processes of their own serve, and which of these processes live. Gateways, shards and registries follow it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from tenantry.base.broadcast import Broadcast
from tenantry.placement.map_rows import decode
from tenantry.placement.view_rows import ViewProcessRow
from tenantry.storage.follower import Follower, gathered
from tenantry.storage.keys import VIEW_NAMES, VIEW_PROCESSES, VIEWS, prefix_end
from tenantry.storage.store import Batch, KeyValue, Store

logger = logging.getLogger(__name__)

PREFIX = VIEWS.encode()


class ViewProcess(NamedTuple):
    """A living process of views. `uid`: new for each start. The rest is as in `view_rows.ViewProcessRow`."""

    uid: str
    name: str
    url: str
    version: str
    views: tuple[str, ...]
    state: str
    why: str = ""

    @property
    def ready(self) -> bool:
        return self.state == "serving" and not self.why


class ViewProcesses:
    """`names`: the views that no shard serves. `processes`: those that live, by uid. Do not change them."""

    def __init__(self, store: Store) -> None:
        self._names: set[str] = set()
        self._processes: dict[str, ViewProcess] = {}
        self.names = frozenset[str]()
        self.processes: Mapping[str, ViewProcess] = MappingProxyType(self._processes)
        self._changes: Broadcast[[]] = Broadcast("a subscriber of the processes of views")
        self._follower = Follower(
            store,
            [(PREFIX, prefix_end(PREFIX))],
            load=gathered(self._loaded),
            changed=self._changed,
            name="the processes of views",
        )

    async def start(self) -> None:
        """Returns when they are known. Raises StoreError."""
        await self._follower.start()

    async def stop(self) -> None:
        await self._follower.stop()

    async def reached(self, revision: int) -> None:
        """Returns when a revision of the store is shown. Raises StoreError."""
        await self._follower.reached(revision)

    def subscribe(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Calls `callback` after every change. Returns how to unsubscribe."""
        return self._changes.subscribe(callback)

    def serving(self, view: str) -> Sequence[ViewProcess]:
        """The living processes that serve a view, ready or not, in the order of their names."""
        return sorted(process for process in self._processes.values() if view in process.views)

    def _loaded(self, kvs: Sequence[KeyValue], revision: int) -> None:
        self._names.clear()
        self._processes.clear()
        for kv in kvs:
            self._take(kv, deleted=False)
        self._show()

    def _changed(self, batch: Batch) -> None:
        for event in batch.events:
            self._take(event.kv, deleted=event.deleted)
        if batch.events:
            self._show()

    def _show(self) -> None:
        self.names = frozenset(self._names)
        self._changes.send()

    def _take(self, kv: KeyValue, *, deleted: bool) -> None:
        key = kv.key.decode()
        if key.startswith(VIEW_NAMES):
            (self._names.discard if deleted else self._names.add)(key[len(VIEW_NAMES) :])
        elif key.startswith(VIEW_PROCESSES):
            uid = key[len(VIEW_PROCESSES) :]
            self._processes.pop(uid, None)
            if deleted:
                return
            try:
                row = decode(kv.value, ViewProcessRow)
            except ValueError as error:
                # One damaged row must not hide the other ones.
                logger.error("skipping an unreadable process of views", extra={"key": key, "error": str(error)})
                return
            self._processes[uid] = ViewProcess(uid, row.name, row.url, row.version, tuple(row.views), row.state, row.why)
