"""What a scope lets a user see of a resource, record by record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Protocol

from tenantry.storage.record import Record


class Changed(Protocol):
    """Called when a visibility may give other answers. `names`: for the objects of these names only, of a type without namespaces
    in one logical cluster; None: for all."""

    def __call__(self, names: Collection[str] | None = None, /) -> None: ...


class Visibility(Protocol):
    """Which records of a resource exist in a scope, in addition to the limits by cluster and selectors.

    `adds` False: in watches, an object that becomes visible by a change is MODIFIED and not ADDED. This is for streams that leave
    out the events from before.

    `in_slices`: `sees`, or what presents the object, may take long for a single record. Events are then matched and encoded
    one by one, with rests in between, and not in the turn in which they arrive.

    `key`: visibilities of one resource and range with equal keys see the same at all times, for every user, so their watchers
    share their events. None: no other one is known to see the same.
    """

    adds: bool
    in_slices: bool

    @property
    def key(self) -> Hashable | None: ...

    def sees(self, record: Record, /) -> bool: ...

    def at(self, version: int) -> Visibility:
        """The visibility at a version, as far as it is known: what the client of a resumed watch was shown. Itself where nothing
        has changed since. Raises TooOld; so does its `sees` for a record of which the answer is not known any more."""
        ...

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        """Calls back when `sees` may give another answer for records that did not change. Returns a function that ends this. A
        watch then compares what it has shown with what is visible now, and sends ADDED and DELETED."""
        ...
