"""Who had access to clusters before the recent changes, so that pages and resumed watches show what was visible before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from tenantry.storage.range import TooOld

T = TypeVar("T")

CLUSTERS_MAX = 8192
CHANGES_MAX = 16
"""The limit for one cluster, whose administrators may change its RBAC as often as they like."""
_CHANGE_BYTES = 400


class PastAccessors(Generic[T]):
    """The recent changes by cluster, each with what there was before it. `size`: the bytes of memory of such a value.

    A change counts as one after its version. `newest`: the version of the last change.
    """

    def __init__(self, size: Callable[[T], int], *, bytes_max: int) -> None:
        self._size = size
        self._bytes_max = bytes_max
        self._changes: OrderedDict[str, list[tuple[int, T | None]]] = OrderedDict()
        """The cluster that changed last is the last one."""
        self._bytes = 0
        self._oldest = 0
        self.newest = 0

    def add(self, cluster: str, before: T | None, version: int) -> None:
        """Notes a change. `before`: None if it is not known."""
        self.newest = max(self.newest, version)
        changes = self._changes.setdefault(cluster, [])
        self._changes.move_to_end(cluster)
        if before is None and changes and changes[-1][1] is None:
            changes[-1] = (version, None)
            return
        changes.append((version, before))
        self._bytes += self._bytes_of(before)
        if len(changes) > CHANGES_MAX:
            _, first = changes.pop(0)
            after, second = changes[0]
            changes[0] = (after, None)
            self._bytes -= self._bytes_of(first) + self._bytes_of(second) - self._bytes_of(None)
        while len(self._changes) > CLUSTERS_MAX or self._bytes > self._bytes_max:
            _, changes = self._changes.popitem(last=False)
            self._bytes -= sum(self._bytes_of(each) for _, each in changes)
            self._oldest = max(self._oldest, changes[-1][0] + 1)

    def forget(self, version: int) -> None:
        """Drops all changes. What there was before this version is not known any more."""
        self._changes.clear()
        self._bytes = 0
        self._oldest = max(self._oldest, version)

    def since(self, version: int) -> Mapping[str, T | None]:
        """Cluster → what there was at a version, for the clusters that have changed since; None: it is not known. Raises
        TooOld."""
        if version < self._oldest:
            raise TooOld(self._oldest)
        found: dict[str, T | None] = {}
        for cluster, changes in self._changes.items():
            for at, before in changes:
                if at >= version:
                    found[cluster] = before
                    break
        return found

    def _bytes_of(self, before: T | None) -> int:
        return _CHANGE_BYTES + (self._size(before) if before is not None else 0)
