"""Since which version a range shows the present declaration of a view.

A declaration changes in the provider's workspace, which is another place than the ranges that show it. So a version of a
range does not say which declaration a client was shown at it. Before a range shows another declaration, a mark is written in
it: versions from then on are higher than any that a client of the former declaration has, and a watch that resumes from a
lower one gets 410.

Processes learn of a change one after the other. For a while after it, a version that is newer than the change says nothing: a
client may have been shown it by a process that did not know of the change yet.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from tenantry.apiserver.deferred import SharedWork
from tenantry.apiserver.storage_errors import to_status
from tenantry.base.cache import Cache
from tenantry.kube.status import unavailable
from tenantry.storage import resource_version
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.keys import Key
from tenantry.storage.range import Range, TooOld
from tenantry.storage.store import StoreError
from tenantry.tenancy.exports.identity_index import ExportKey

MARKS = "tenantry/declaredviews"
"""The resource of the marks: one in each range, in the cluster with the id of the range's start. No API serves it."""
_MARK = b'{"metadata":{"name":"mark"}}'
LAG_SECONDS = 30.0
"""How long after a change another process may still show the former declaration: one whose watch of the store breaks opens it
again within seconds."""
_BYTES_MAX = 4 << 20


class _Since(NamedTuple):
    """The revision of a VirtualWorkspace, and the version of the range from which on it is shown. 0: not known, so that its
    revision decides."""

    revision: int
    version: int


class ShownSince:
    """For the ranges of one shard, in a cache. What it forgets is marked again only if the range has not moved on since."""

    def __init__(self) -> None:
        self._known: Cache[tuple[str, str, str], _Since] = Cache("declared_views_shown", bytes_max=_BYTES_MAX)
        self._marking = SharedWork()
        self._changed: dict[ExportKey, float] = {}
        """The views that have changed in the last `LAG_SECONDS`, the first one first, and the time of the loop."""

    def changed(self, view: ExportKey) -> None:
        """A declaration was changed or deleted just now."""
        now = asyncio.get_running_loop().time()
        self._changed.pop(view, None)
        self._changed[view] = now
        while now - self._changed[first := next(iter(self._changed))] > LAG_SECONDS:
            del self._changed[first]

    def is_shown(self, range_: Range, view: ExportKey, revision: int) -> bool:
        """Whether requests may be answered from the range with the declaration of this revision. False: call `show` first."""
        known = self._known.get((range_.name, *view))
        if known is None and resource_version.revision_of(range_.version) > revision and not self._is_recent(view):
            # The range has moved on since, in this process or at its former owner.
            known = _Since(revision, 0)
            self._known.put((range_.name, *view), known)
        return known is not None and known.revision == revision

    async def show(self, cell: Cell, range_: Range, view: ExportKey, revision: int) -> None:
        """Marks the range, so that its version is a new one. Raises StatusError."""

        async def mark() -> None:
            key = Key(range_.start, MARKS, "", "mark")
            await cell.raise_version(range_, key, _MARK)
            if cell.ranges.get(range_.name) is not range_:
                # It was loaded again meanwhile, and this one's version has stayed where it was.
                raise unavailable(f"range {range_.name} has just been loaded again, try again")
            self._known.put((range_.name, *view), _Since(revision, range_.version))

        try:
            await self._marking.run(f"{range_.name}/{'/'.join(view)}/{revision}", mark)
        except (StoreError, NotOwned) as error:
            raise to_status(error) from error

    def require(self, range_: Range, view: ExportKey, version: int) -> None:
        """Raises TooOld if another declaration was, or may have been, shown at a version of the range."""
        known = self._known.get((range_.name, *view))
        if known is None:
            raise TooOld(range_.version)
        if version < known.version or (not known.version and resource_version.revision_of(version) < known.revision):
            raise TooOld(known.version or range_.version)

    def _is_recent(self, view: ExportKey) -> bool:
        changed = self._changed.get(view)
        return changed is not None and asyncio.get_running_loop().time() - changed <= LAG_SECONDS
