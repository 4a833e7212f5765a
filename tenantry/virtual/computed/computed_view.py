"""The base class of views whose objects are computed. docs/virtual-workspaces.md shows how to write one."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import partial

from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.deferred import Deferred, may_defer
from tenantry.apiserver.scope import Scope
from tenantry.storage.range import Range
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.computed.collection import Collection, Compute
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


class CollectionScope(ViewScope):
    """One place in a view with computed objects, whose view has other objects, too, or makes them elsewhere. `compute`: makes
    them."""

    def __init__(self, view: View, place: Place, base: ClusterScope, compute: Compute) -> None:
        super().__init__(view, place, base)
        self._compute = compute
        self._collection: Collection | None = None
        self._range: Range | None = None

    @property
    def range(self) -> Range:
        """The computed objects, always the same ones in a request. Before the request is authorized, the range of the place."""
        return self._range if self._range is not None else self.base.range

    def authorize(self, attributes: Attributes) -> Decision:
        """Raises Deferred if the objects have to be computed before the request is answered."""
        decision = super().authorize(attributes)
        if decision.allowed and self.is_computed(attributes) and attributes.verb != IMPERSONATE and may_defer():
            self._require_objects()
        return decision

    def is_computed(self, attributes: Attributes) -> bool:
        """Whether the request is for computed objects, and not for stored ones or for a document."""
        return attributes.is_resource

    @property
    def place_name(self) -> Hashable:
        """What the objects depend on beside what `compute` reads."""
        return self.place

    def _require_objects(self) -> None:
        collection = self._collection
        if collection is None:
            cluster = self.place.cluster or ""
            collections = self.view.context.collections
            collection = self._collection = collections.of(
                self.base.range, self.view.name, self.place_name, cluster, self._compute
            )
            # Load is that of the range of the place.
            self.base.range.requests += 1
            if not collection.is_current:
                raise Deferred(collection.ready)
        self._range = collection.range


class ComputedScope(CollectionScope):
    """One place in a computed view."""

    def __init__(self, view: ComputedView, place: Place, base: ClusterScope) -> None:
        super().__init__(view, place, base, partial(view.compute, place))
