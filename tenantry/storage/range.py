"""A range in memory: the objects of the clusters in `[start, end)`, their history, and who watches them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from tenantry.storage.keys import Key
from tenantry.storage.record import Record, RecordEvent


class TooOld(Exception):
    """The history does not reach back to the wanted version; `oldest` is the first that it can follow on from."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history begins at resourceVersion {oldest}; list again")
        self.oldest = oldest


EventCallback = Callable[[Sequence[RecordEvent]], None]


class RangeContract(Protocol):
    """API that `Range` must have (the helper for storage replaces this Protocol by the class)."""

    name: str
    start: str
    end: str

    @property
    def version(self) -> int:
        """The resourceVersion of the range now: that of the last commit applied anywhere in the cell by this shard."""
        ...

    def get(self, key: Key) -> Record | None: ...

    def list(self, resource: str, cluster: str | None = None, namespace: str | None = None) -> Sequence[Record]:
        """In the order of keys. Not a copy: do not change it, do not keep it over an await."""
        ...

    def list_at(self, version: int, resource: str, cluster: str | None = None, namespace: str | None = None) -> Sequence[Record]:
        """As it was at a version. Raises TooOld."""
        ...

    def count(self, resource: str, cluster: str | None = None, namespace: str | None = None) -> int: ...

    def clusters(self, resource: str | None = None) -> Iterable[str]:
        """The clusters that hold any object (of the resource)."""
        ...

    def resources(self, cluster: str) -> Iterable[str]:
        """The resource keys of which the cluster holds objects."""
        ...

    def events_after(self, version: int, resource: str, cluster: str | None = None) -> Sequence[RecordEvent]:
        """History. Raises TooOld."""
        ...

    def subscribe(self, callback: EventCallback, resource: str | None = None, cluster: str | None = None) -> Callable[[], None]:
        """Calls back, on the loop and without waiting, with the events of each commit that concern the resource and cluster
        (None: all), after memory shows them. Returns how to stop. A callback that raises is logged and stays subscribed."""
        ...


Range = RangeContract
