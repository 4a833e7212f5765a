"""What a range shows of the consumers of an export: nothing, until its URL is published (`tenancy/exports/consumers.py`)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from tenantry.apiserver.visibility import Changed, Visibility
from tenantry.storage.keys import Key
from tenantry.storage.range import Range, TooOld
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.exports.consumers import CONSUMERS, is_open


class Publication:
    """Whether one range shows the consumers of one export. Made for each request."""

    __slots__ = ("_key", "_uid", "label", "range")

    def __init__(self, range_: Range, label: str, uid: bytes) -> None:
        """`label`: the `export_hash` of the export. `uid`: its uid."""
        self.range = range_
        self.label = label
        self._uid = uid
        self._key = Key(range_.start, CONSUMERS, "", label)

    @property
    def is_open(self) -> bool:
        return is_open(self.range.get(self._key), self._uid)

    @property
    def version(self) -> int:
        """The version at which it was opened. 0: it is not open."""
        record = self.range.get(self._key)
        return record.version if record is not None and is_open(record, self._uid) else 0

    def was_open(self, version: int) -> bool:
        """Whether it was open at a version. Raises TooOld, also if it was for another export of the name: when that was deleted,
        and nothing was shown any more, no version of the range tells."""
        for event in self.range.events_after(version, CONSUMERS, self._key.cluster):
            if event.key == self._key:
                return self._was_open(event.previous, event.version)
        return self._was_open(self.range.get(self._key), self.range.version)

    def _was_open(self, record: Record | None, until: int) -> bool:
        was_open = is_open(record, self._uid)
        if not was_open and is_open(record):
            raise TooOld(until)
        return was_open

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Calls `changed` when the range is opened or closed. Returns a function that ends this."""

        def arrived(events: Sequence[RecordEvent]) -> None:
            uid = self._uid
            if any(event.key == self._key and is_open(event.previous, uid) != is_open(event.record, uid) for event in events):
                changed()

        return self.range.subscribe(arrived, CONSUMERS, self._key.cluster)

    def follow_end(self, closed: Callable[[], None]) -> Callable[[], None]:
        """Calls `closed` when the range is closed: its last consumer is gone. Returns a function that ends this."""

        def changed() -> None:
            if not self.is_open:
                closed()

        return self.subscribe(changed)


class PublishedVisibility:
    """What a range shows of the consumers of an export. Where it is closed, a watch gets the objects when it is opened.

    A request without a watch asks once, before the first record, in the turn in which the version of the records is read.
    """

    adds = True

    def __init__(self, publication: Publication, shared: Visibility | None, *, was_open: bool | None = None) -> None:
        """`shared`: what is visible while it is open. None: everything. `was_open`: whether it was, for an earlier version."""
        self._publication = publication
        self._shared = shared
        self._is_open = was_open
        self.in_slices = shared is not None and shared.in_slices

    @property
    def key(self) -> Hashable | None:
        if self._shared is None:
            return PublishedVisibility, self._publication.label
        key = self._shared.key
        return (PublishedVisibility, self._publication.label, key) if key is not None else None

    def sees(self, record: Record) -> bool:
        known = self._is_open
        if known is None:
            known = self._is_open = self._publication.is_open
        return known and (self._shared is None or self._shared.sees(record))

    def at(self, version: int) -> Visibility:
        was_open = self._publication.was_open(version)
        then = self._shared.at(version) if self._shared is not None else None
        if then is self._shared and was_open == self._publication.is_open:
            return self
        return PublishedVisibility(self._publication, then, was_open=was_open)

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        def opened() -> None:
            self._is_open = self._publication.is_open
            changed()

        stops = [self._publication.subscribe(opened)]
        if self._shared is not None:
            stops.append(self._shared.subscribe(changed))

        def stop() -> None:
            for each in stops:
                each()

        return stop
