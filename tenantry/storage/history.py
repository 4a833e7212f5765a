"""The recent events of one resource in one range. Watches resume from them."""

from __future__ import annotations

from collections import deque

import msgspec

from tenantry.storage.record import RecordEvent

EVENT_BYTES = 600
"""Estimated memory of an event in bytes, without its values: its key, its records with their heads, and its slot."""


class TooOld(Exception):
    """The history does not go back to the requested version. `oldest`: the first version that a watch can resume from."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history begins at resourceVersion {oldest}; list again")
        self.oldest = oldest


class HistoryLimits(msgspec.Struct, frozen=True):
    """The limits of the history of one resource in one range. When one of them is exceeded, the oldest event is dropped.

    `events`: enough for a client that was away for some seconds under full write load. `value_bytes`: both values of each event
    count, so that large objects cannot fill the memory. Values that are shared with live objects count too.

    `resources`, `range_bytes` (values and events): the limits of all histories of a range. They exist because tenants can create
    any number of types. When one of them is exceeded, the history that was not written for longest is dropped as a whole.
    """

    events: int = 4096
    value_bytes: int = 4 << 20
    resources: int = 1024
    range_bytes: int = 256 << 20


class History:
    """A ring of events in the order of versions. Every event after version `oldest` is in it."""

    __slots__ = ("_events", "_limits", "_value_bytes", "oldest")

    def __init__(self, oldest: int, limits: HistoryLimits) -> None:
        self.oldest = oldest
        self._limits = limits
        self._events: deque[RecordEvent] = deque()
        self._value_bytes = 0

    def __len__(self) -> int:
        return len(self._events)

    @property
    def bytes(self) -> int:
        return self._value_bytes + EVENT_BYTES * len(self._events)

    @property
    def newest(self) -> int:
        """The version of the last event, `oldest` if there is none."""
        return self._events[-1].version if self._events else self.oldest

    def append(self, event: RecordEvent) -> int:
        """Adds the next event and drops the oldest ones that are above the limits. Returns by how many bytes the history grew."""
        events, limits = self._events, self._limits
        events.append(event)
        growth = _size(event)
        self._value_bytes += growth
        while len(events) > limits.events or self._value_bytes > limits.value_bytes:
            dropped = events.popleft()
            size = _size(dropped)
            self._value_bytes -= size
            growth -= size + EVENT_BYTES
            self.oldest = dropped.version
        return growth + EVENT_BYTES

    def after(self, version: int) -> list[RecordEvent]:
        """The events with a higher version, oldest first. Raises TooOld."""
        if version < self.oldest:
            raise TooOld(self.oldest)
        found: list[RecordEvent] = []
        for event in reversed(self._events):
            if event.version <= version:
                break
            found.append(event)
        found.reverse()
        return found

    def prepend(self, earlier: History) -> None:
        """Puts the events of another history in front. That history must end where this one begins; it must not be used again."""
        later = self._events
        self._events, self._value_bytes, self.oldest = earlier._events, earlier._value_bytes, earlier.oldest
        for event in later:
            self.append(event)


def _size(event: RecordEvent) -> int:
    return (len(event.record.value) if event.record is not None else 0) + (
        len(event.previous.value) if event.previous is not None else 0
    )
