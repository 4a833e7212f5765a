"""An index of the catalog's APIExports by identity hash."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.kube.objects import Object
from tenantry.placement.catalog import Catalog
from tenantry.tenancy.resources import API_EXPORTS

Place = tuple[str, str]
"""(cluster id, name) of an export."""


class IdentityIndex:
    """An index of the catalog: it is up to date when subscribers to exports are called."""

    def __init__(self, catalog: Catalog) -> None:
        self._exports: dict[str, set[Place]] = {}
        self._identity_of: dict[Place, str] = {}
        catalog.index(API_EXPORTS, self._changed)

    def exports(self, identity: str) -> Iterable[Place]:
        """The exports with this identity hash, sorted."""
        return sorted(self._exports.get(identity, ()))

    def _changed(self, _: str, cluster: str, name: str, export: Object | None) -> None:
        place = (cluster, name)
        identity = ((export or {}).get("status") or {}).get("identityHash") or ""
        before = self._identity_of.pop(place, "")
        if before:
            places = self._exports[before]
            places.discard(place)
            if not places:
                del self._exports[before]
        if identity:
            self._identity_of[place] = identity
            self._exports.setdefault(identity, set()).add(place)
