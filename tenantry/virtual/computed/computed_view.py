"""The base class of views whose objects are computed. docs/virtual-workspaces.md shows how to write one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.deferred import Deferred, may_defer
from tenantry.apiserver.scope import Scope
from tenantry.storage.range import Range
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.computed.collection import Collection
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources
from tenantry.virtual.view import Place, View
from tenantry.virtual.view_scope import IMPERSONATE, ViewScope


class ComputedView(View):
    """A view whose objects are not stored: `compute` makes them. Clients may read and watch them, with all options.

    The objects of a place are in its logical cluster. Those of `*` are in none, and are not the sum of those of the clusters:
    `compute` makes them too. The `verbs` must not write.
    """

    def compute(self, place: Place, sources: Sources) -> Iterator[ComputedRecord | None]:
        """The objects of a place, made from what `sources` reads and from nothing else.

        It runs in slices, with a rest after each item, so it yields None where it reads much for no object. It is called again
        when something that it read has changed. The shard does that for watches within a second, and for requests at once.
        """
        raise NotImplementedError

    def scope(self, place: Place, base: ClusterScope, path: str) -> Scope | None:
        return ComputedScope(self, place, base)


class ComputedScope(ViewScope):
    """One place in a computed view."""

    def __init__(self, view: ComputedView, place: Place, base: ClusterScope) -> None:
        super().__init__(view, place, base)
        self._compute = partial(view.compute, place)
        self._collection: Collection | None = None
        self._range: Range | None = None

    @property
    def range(self) -> Range:
        """The computed objects, always the same ones in a request. Before the request is authorized, the range of the place."""
        return self._range if self._range is not None else self.base.range

    def authorize(self, attributes: Attributes) -> Decision:
        """Raises Deferred if the objects have to be computed before the request is answered."""
        decision = super().authorize(attributes)
        if decision.allowed and attributes.is_resource and attributes.verb != IMPERSONATE and may_defer():
            self._require_objects()
        return decision

    def _require_objects(self) -> None:
        collection = self._collection
        if collection is None:
            cluster = self.place.cluster or ""
            collections = self.view.context.collections
            collection = self._collection = collections.of(self.base.range, self.view.name, self.place, cluster, self._compute)
            # Load is that of the range of the place.
            self.base.range.requests += 1
            if not collection.is_current:
                raise Deferred(collection.ready)
        self._range = collection.range
