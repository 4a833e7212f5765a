"""`WrittenStatuses`: which objects that publish URLs of an export say so already in their status."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.exports.identity_index import ExportKey

Written = Callable[[Key], None]
"""Called with an object whose status was written, or needed no write."""


class Status(NamedTuple):
    """What the status of an object is about, and the number of `WrittenStatuses` when it was computed. It has everything that the
    catalog knew at that time."""

    export: ExportKey | None
    number: int


class WrittenStatuses:
    """The statuses of this shard's objects, as their controllers wrote them: endpoint slices, declared views, and the types of
    views that are about an export.

    A controller reads `number`, computes and writes, and calls `note`. Clients see the status then: memory shows it.
    """

    def __init__(self) -> None:
        self.number = 0
        """It grows with each range that waits for its URL to be published."""
        self._known: dict[Key, Status] = {}
        self._written: Written = lambda key: None

    def next(self) -> int:
        """A number that statuses have which are computed from now on, and no earlier one."""
        self.number += 1
        return self.number

    def follow(self, written: Written) -> None:
        """`written` is called after each `note`. There is one follower."""
        self._written = written

    def note(self, key: Key, export: ExportKey | None, number: int) -> None:
        """The status of `key` is about `export`, and shows what the catalog knew at `number`."""
        self._known[key] = Status(export, number)
        self._written(key)

    def forget(self, key: Key) -> None:
        """The object is gone. Nothing happens if it is not known."""
        if self._known.pop(key, None) is not None:
            self._written(key)

    def of(self, key: Key) -> Status | None:
        """None: its controller has not looked at it yet."""
        return self._known.get(key)

    def released(self, range_: Range) -> None:
        """Drops what is known of a range that this shard no longer owns."""
        for key in [key for key in self._known if key.cluster in range_]:
            del self._known[key]
