"""A collection: the computed objects of one place, in a view or in a workspace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import NamedTuple, Protocol

from tenantry.apiserver.storage_errors import check_readable, not_owner, to_status
from tenantry.base.time_slices import in_slices
from tenantry.kube.status import StatusError, timeout
from tenantry.storage import resource_version
from tenantry.storage.history import EVENT_BYTES
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record
from tenantry.storage.store import StoreError
from tenantry.tenancy.computed.computed_range import ComputedRange, changes, events
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources

READY_SECONDS = 10.0
"""How long a request waits for the objects: for the store, if the catalog is behind."""
ATTEMPTS = 8
"""How often a collection is computed in a row if its sources change meanwhile."""

LONG_SECONDS = 0.02
"""A computation that took longer is followed by a pause before the next one, if only watches wait for that."""
PAUSE_TIMES = 9
PAUSE_SECONDS_MAX = 1.0
"""The pause is so many times as long as the computation, and at most a second."""

OBJECTS_MAX = 10_000
"""The most objects of one place, and the most copies that they are computed from: they are compared in one turn of the loop."""
_TOO_MANY = f"this view shows at most {OBJECTS_MAX} objects of a workspace, made from at most as many"

Compute = Callable[[Sources], Iterator[ComputedRecord | None]]
"""Reads the sources and yields the objects. It runs in slices, with a rest after each item; None is a place for a rest. If it
yields two objects of one name, the last one counts."""


ComputeSome = Callable[[Sources, Iterable[str]], Iterator[tuple[Key, ComputedRecord | None]]]
"""Reads the copies with these names, and yields the object that each of them makes, None if there is no such copy."""
SOME_MAX = 500
"""The most changed copies that are computed alone."""


class Computed(NamedTuple):
    """The result of a computation. `objects` None: nothing has changed since the last one. `some`: the keys of the objects that
    may have changed; None if all were computed. `number`: of the computation."""

    sources: Sources
    objects: dict[Key, ComputedRecord] | None
    some: Sequence[Key] | None = None
    number: int = 0


class Upkeep(Protocol):
    """What a collection needs of the shard's collections."""

    def sources(self, range_: Range) -> Sources: ...

    async def complete_revision(self) -> int:
        """Returns the newest revision that memory shows when this is called, when memory is complete up to it. Raises
        StoreError."""
        ...

    def follow(self, sources: Sources, range_: Range, changed: Callable[[str], None]) -> Callable[[], None]:
        """Calls back after changes of these sources: with the name of a copy of a group, else with an empty name. Returns a
        function that ends this."""
        ...

    def refresh_soon(self, collection: Collection) -> None: ...

    def keep(self, collection: Collection) -> None:
        """Called when its size has changed, or when it has no subscriber any more."""
        ...

    def end_streams(self, range_: Range) -> None: ...

    async def moved(self, version: int) -> None:
        """Returns when memory may have reached a version."""
        ...


class Collection:
    """The objects of one place, computed from `base` and the catalog.

    With subscribers, it follows its sources, and is computed soon after a change. Without, it has no subscriptions, and the next
    request finds out whether its sources have changed.

    Versions are revisions of the store up to which the objects are known to be complete. A watch cannot resume from a version
    before the first computation (410).
    """

    def __init__(
        self,
        upkeep: Upkeep,
        cell: int,
        base: Range,
        cluster: str,
        name: tuple[str, str, Hashable],
        compute: Compute,
        *,
        at_once: bool = False,
        some: ComputeSome | None = None,
    ) -> None:
        """`cell`: the number of the cell. `cluster`: the logical cluster in the keys of the objects. `name`: for `upkeep`.

        `at_once`: whether `compute` reads nothing but one group of copies. Then what it read is the state at one moment, which is
        shown although the group has changed since: with many changes, the objects would never be shown in time.

        `some`: computes only what has changed, of a collection `at_once` with subscribers. Without it, each change of one copy
        costs as much as all of them.
        """
        self.name = name
        self.base = base
        self.at_once = at_once
        self._upkeep = upkeep
        self._cell = cell
        self._cluster = cluster
        self._compute = compute
        self._some = some
        self._names: set[str] = set()
        """The copies that have changed since the last computation began, while it follows its sources."""
        self._knows_changes = False
        """Whether `_names` is all that can differ from what is shown: not while a computation is not shown."""
        self._number = 0
        """The number of the last computation. It also changes when `_names` is not complete any more."""
        self._clusters: frozenset[str] = frozenset()
        """The logical clusters of the objects that are there."""
        self._range: ComputedRange | None = None
        self._sources: Sources | None = None
        self._missed = 0
        """How often in a row a source has changed before the objects were shown."""
        self._early = 0
        """How often in a row they were later than the revision at which they were to be shown."""
        self._computing = asyncio.Lock()
        self._subscribers = 0
        self._changed = False
        """Whether a source has changed, while it follows its sources."""
        self._stop: Callable[[], None] | None = None
        self._seconds = 0.0
        """How long the last computation took, with its rests."""

    @property
    def pause_seconds(self) -> float:
        """How long to wait after a change before it is computed again for watches: sources that change all the time must not make
        it compute all the time. Only what has changed is computed at once."""
        if self._knows_changes:
            return 0.0
        return min(PAUSE_SECONDS_MAX, PAUSE_TIMES * self._seconds) if self._seconds > LONG_SECONDS else 0.0

    @property
    def range(self) -> ComputedRange:
        """The objects. Raises StatusError 503 before the first `refresh`."""
        if self._range is None:
            raise not_owner(f"the view of range {self.base.name} is not computed yet")
        return self._range

    @property
    def followed(self) -> bool:
        return self._subscribers > 0

    @property
    def bytes(self) -> int:
        """Estimated memory, with the values."""
        size = self._sources.bytes if self._sources is not None else 0
        if self._range is not None:
            for cluster in self._clusters:
                objects, values = self._range.usage(cluster)
                size += objects * EVENT_BYTES + values
        return size

    @property
    def is_current(self) -> bool:
        """Whether nothing that it was computed from has changed."""
        if self._range is None or self._sources is None:
            return False
        return not self._changed if self._stop is not None else self._sources.are_current()

    async def refresh(self, *, version: int = 0) -> None:
        """Computes the objects if something has changed, or if a version is not reached yet. Raises StoreError, and StatusError
        if the base range was released, or if there are too many objects."""
        async with self._computing:
            if self.is_current and self.range.version >= version:
                return
            shown = False
            while not shown:
                before = await self._upkeep.complete_revision() if self.at_once else 0
                computed = await self.compute()
                shown = self.show(computed, before or await self._upkeep.complete_revision())

    async def compute(self) -> Computed:
        """Computes the objects if something has changed, and does not show them yet. Raises StatusError."""
        check_readable(self.base)
        if self._range is not None and self._sources is not None and self._sources.are_current():
            return Computed(self._sources, None)
        sources = self._upkeep.sources(self.base)
        some, names = self._some if self._knows_changes else None, self._names
        self._all_changed()
        number = self._number
        found: dict[Key, ComputedRecord] = {}
        began = perf_counter()
        if some is not None:
            keys: list[Key] = []
            async for key, changed in in_slices(some(sources, names), 1):
                keys.append(key)
                if changed is not None:
                    found[key] = changed
            self._seconds = perf_counter() - began
            return Computed(sources, found, keys, number)
        async for computed in in_slices(self._compute(sources), 1):
            if computed is not None:
                found[Key(computed.cluster or self._cluster, computed.resource, computed.namespace, computed.name)] = computed
            if len(found) > OBJECTS_MAX or len(sources.copies) > OBJECTS_MAX:
                raise StatusError(413, "RequestEntityTooLarge", _TOO_MANY, details={})
        self._seconds = perf_counter() - began
        return Computed(sources, found, None, number)

    def show(self, computed: Computed, revision: int) -> bool:
        """Shows computed objects as those at the end of a revision: one that was read after `compute`, and up to which memory is
        complete now. If they were read `at_once`, one that was read before `compute`.

        Those of which only some were computed are shown if no other computation has begun since.

        Returns False, and does not show them, if a source has changed meanwhile: they may lack changes up to the revision, or
        have later ones. Objects that were read at once lack none. After `ATTEMPTS` of these in a row they are shown nevertheless,
        and computed again. Raises StatusError if the base range was released.
        """
        check_readable(self.base)
        sources, found, some, number = computed
        if some is not None and number != self._number:
            return False
        current = sources.are_current()
        self._missed = 0 if current else self._missed + 1
        if not current and not self.at_once and (found is None or self._missed < ATTEMPTS):
            return False
        end = resource_version.end_of_revision(self._cell, max(revision, sources.newest))
        if found is not None:
            return self._use(computed, found, end)
        if self._range is not None:
            self._range.advance(end)
            self._changed = False
            if not current and self._stop is not None:
                self._compute_soon()
        return True

    async def ready(self) -> None:
        """Returns when the objects show what memory had when this was called. Raises StatusError."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self.refresh()
        except TimeoutError:
            raise timeout("Timeout: the objects of this view could not be computed in time, try again") from None
        except StoreError as error:
            raise to_status(error) from error

    async def reached(self, version: int) -> None:
        """Returns when the objects are complete up to a version. The caller limits the wait. Raises StatusError."""
        try:
            while True:
                await self._upkeep.moved(version)
                await self.refresh(version=version)
                if self.range.version >= version:
                    return
        except StoreError as error:
            raise to_status(error) from error

    def end(self) -> None:
        """Called when the base range is released, or when the objects cannot be computed: ends the streams and refuses
        requests."""
        ended, self._range, self._sources = self._range, None, None
        self._all_changed()
        if ended is not None:
            ended.owned = False
            self._upkeep.end_streams(ended)

    def _use(self, computed: Computed, found: dict[Key, ComputedRecord], end: int) -> bool:
        sources, before = computed.sources, self._range
        clusters = frozenset(key.cluster for key in found)
        self._clusters = clusters if computed.some is None else self._clusters | clusters
        if before is None:
            self._range = self._new_range(found, end)
        elif not self._change(before, found, end, computed.some):
            return False
        self._early = 0
        self._sources = sources
        if self._stop is not None and self._some is not None:
            # It follows one group, always the same.
            self._knows_changes = computed.number == self._number
            self._changed = False
            if not sources.are_current():
                self._compute_soon()
        elif self._stop is not None:
            self._stop()
            self._follow(sources)
        self._upkeep.keep(self)
        return True

    def _change(self, before: ComputedRange, found: dict[Key, ComputedRecord], end: int, some: Sequence[Key] | None) -> bool:
        """False: they are of a later revision than `end`, as they were read at once."""
        records = before.each() if some is None else (record for key in some if (record := before.get(key)) is not None)
        changed = changes(records, found.items())
        last = before.version
        if not changed:
            before.advance(end)
        elif len(changed) <= end - last:
            before.follow(events(changed, end - len(changed) + 1), end)
        elif some is not None:
            # All of them are computed next.
            return False
        elif self.at_once and self._early < ATTEMPTS:
            self._early += 1
            return False
        else:
            # More changes than there are versions since the last one. Watches end, and list again.
            self._range = self._new_range(found, max(end, last + 1))
            before.owned = False
            self._upkeep.end_streams(before)
        return True

    def _new_range(self, found: dict[Key, ComputedRecord], version: int) -> ComputedRange:
        made = ComputedRange(self.base, ask=self.reached, joined=self._joined, left=self._left)
        made.load(
            Record(key, computed.value, resource_version.make(self._cell, max(1, computed.revision), 0), computed.head)
            for key, computed in found.items()
        )
        made.loaded(version)
        return made

    def _joined(self) -> None:
        self._subscribers += 1
        if self._subscribers == 1 and self._sources is not None:
            self._follow(self._sources)
            self._upkeep.keep(self)

    def _left(self) -> None:
        self._subscribers -= 1
        if not self._subscribers and self._stop is not None:
            self._stop()
            self._stop = None
            self._all_changed()
            self._upkeep.keep(self)

    def _follow(self, sources: Sources) -> None:
        self._stop = self._upkeep.follow(sources, self.base, self._source_changed)
        self._changed = False
        self._all_changed()
        self._knows_changes = self._some is not None and sources.are_current()
        if not sources.are_current():
            self._compute_soon()

    def _source_changed(self, name: str) -> None:
        self._names.add(name)
        if self._some is None or not name or len(self._names) > SOME_MAX:
            self._all_changed()
        self._compute_soon()

    def _all_changed(self) -> None:
        self._names = set()
        self._knows_changes = False
        self._number += 1

    def _compute_soon(self) -> None:
        if not self._changed:
            self._changed = True
            self._upkeep.refresh_soon(self)
