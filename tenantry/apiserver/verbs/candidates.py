"""The records of a collection that a selection has to look at: those with its name or its labels where memory finds them without
a search, else all. The selection is still asked of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from tenantry.apiserver.verbs.selection import Selection
from tenantry.kube.selectors.requirements import Requirement
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.storage.selector_index import NAME

_BY_VALUE = frozenset({"=", "==", "in"})
_INDEXABLE = _BY_VALUE | {"exists", "gt", "lt"}
"""The others are looked up by the presence of the label."""
_INDEXES_MAX = 4
"""So many requirements of one label selector are looked up in indexes."""


class Candidates:
    """The candidates of one selection in one collection. `cluster` and `namespace` None: all."""

    __slots__ = ("_cluster", "_namespace", "_range", "_selection")

    def __init__(self, range_: Range, selection: Selection, cluster: str | None, namespace: str | None) -> None:
        self._range = range_
        self._selection = selection
        self._cluster = cluster
        # A field selector may name the namespace of a request for all of them.
        self._namespace = namespace or selection.fields.required_value("metadata.namespace") or None

    async def prepare(self) -> None:
        """Called before the state is read, some turns of the loop before at most: makes an index if that is worthwhile."""
        selection, range_ = self._selection, self._range
        if not selection.has_selectors:
            return
        resource, place = selection.definition.storage_key, (self._cluster, self._namespace)
        if selection.name is not None:
            if range_.named(resource, selection.name, *place) is None:
                await range_.prepare(resource, NAME, *place)
            return
        missing = None
        for requirement in self._indexable():
            if range_.labelled(resource, requirement.key, _values(requirement), *place) is not None:
                return
            if missing is None and not range_.is_indexed(resource, requirement.key, *place):
                missing = requirement.key
        if missing is not None:
            await range_.prepare(resource, missing, *place)

    def now(self) -> Sequence[Record]:
        """The candidates among the present records, in the order of keys. Not a copy: do not change it, and do not keep it over
        an await."""
        selection, range_ = self._selection, self._range
        resource, place = selection.definition.storage_key, (self._cluster, self._namespace)
        if not selection.has_selectors:
            return range_.list(resource, *place)
        best: Sequence[Record] | None = None
        if selection.name is not None:
            best = range_.named(resource, selection.name, *place)
        else:
            for requirement in self._indexable():
                found = range_.labelled(resource, requirement.key, _values(requirement), *place)
                if found is not None and (best is None or len(found) < len(best)):
                    best = found
        return best if best is not None else range_.list(resource, *place)

    def at(self, version: int) -> Sequence[Record]:
        """The candidates among the records at a version of the past. Raises TooOld."""
        now = self.now() if self._selection.has_selectors else None
        return self._range.list_at(version, self._selection.definition.storage_key, self._cluster, self._namespace, now)

    def events_after(self, version: int) -> Sequence[RecordEvent]:
        """The events with a higher version that the selection has to look at, oldest first. Raises TooOld."""
        selection = self._selection
        events = self._range.events_after(version, selection.definition.storage_key, self._cluster)
        if selection.name is None:
            return events
        name = selection.name
        return [event for event in events if event.key.name == name]

    def _indexable(self) -> Iterator[Requirement]:
        if self._selection.definition.conversion is not None:
            # The index has the labels of what is stored, and webhooks may change labels.
            return iter(())
        requirements = self._selection.labels.requirements
        return islice((each for each in requirements if each.operator in _INDEXABLE), _INDEXES_MAX)


def _values(requirement: Requirement) -> tuple[str, ...] | None:
    return requirement.values if requirement.operator in _BY_VALUE else None
