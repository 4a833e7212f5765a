"""The objects that a declared view shows: a part of those that the view of its export shows."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from tenantry.apiserver import records
from tenantry.apiserver.visibility import Changed, Visibility
from tenantry.kube.status import unavailable
from tenantry.storage.range import Range
from tenantry.storage.record import Record
from tenantry.virtual.declared.declaration import Declaration, Selected
from tenantry.virtual.declared.declarations import Declarations
from tenantry.virtual.declared.evaluation import Spending, is_true


class SelectedVisibility:
    """The visible objects of one declared resource. `shared`: what the view of the export shows of it, None: everything.

    `user`: the variable of the filter. A filter that does not ask for it sees the same for all users. The declaration itself does
    not change in its lifetime: watches end when it does.
    """

    adds = True

    def __init__(
        self,
        declarations: Declarations,
        declaration: Declaration,
        selected: Selected,
        range_: Range,
        shared: Visibility | None,
        user: dict[str, Any],
        spending: Spending,
        *,
        in_slices: bool,
    ) -> None:
        self._declarations = declarations
        self._declaration = declaration
        self._selected = selected
        self._range = range_
        self._shared = shared
        self._user = user
        self._spending = spending
        self._matches = None if selected.labels.is_everything else selected.labels.matches
        self.in_slices = in_slices
        self._began = False

    @property
    def key(self) -> Hashable | None:
        selected, declaration = self._selected, self._declaration
        user = (self._user["name"], tuple(self._user["groups"]), self._user["uid"]) if selected.asks_for_user else None
        shared = self._shared.key if self._shared is not None else None
        if self._shared is not None and shared is None:
            return None
        return SelectedVisibility, declaration.cluster, declaration.name, declaration.mark, selected.mark, user, shared

    def sees(self, record: Record) -> bool:
        """Raises StatusError 413 where the filter costs too much for one request."""
        if not self._began:
            self._begin()
        if self._shared is not None and not self._shared.sees(record):
            return False
        if self._matches is not None and not self._matches(record.head.labels):
            return False
        selected = self._selected
        if selected.filter is None:
            return True
        source = selected.source
        obj = records.decode(record, source, source.storage_version)
        values = (obj, {"name": record.key.cluster}, self._user)
        return is_true(selected.filter, values, self._spending, "filter")

    def _begin(self) -> None:
        """Called before the first record, in the turn in which the version of the records was read: the declaration must be
        that of this version. Raises StatusError 503."""
        self._began = True
        if not self._declarations.is_current(self._declaration):
            raise unavailable("the declaration of this view has just changed, try again")

    def at(self, version: int) -> Visibility:
        self._declarations.shown_since.require(self._range, self._declaration.place, version)
        then = self._shared.at(version) if self._shared is not None else None
        if then is self._shared:
            return self
        return SelectedVisibility(
            self._declarations,
            self._declaration,
            self._selected,
            self._range,
            then,
            self._user,
            self._spending,
            in_slices=self.in_slices,
        )

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        return self._shared.subscribe(changed) if self._shared is not None else _nothing


def _nothing() -> None:
    pass
