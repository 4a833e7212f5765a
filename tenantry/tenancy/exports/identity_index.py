"""An index of the catalog's APIExports by identity hash."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.kube.objects import Object
from tenantry.placement.catalog import Catalog
from tenantry.tenancy.resources import API_EXPORTS

ExportKey = tuple[str, str]
"""(cluster id, name) of an export."""


class IdentityIndex:
    """An index of the catalog: it is up to date when subscribers to exports are called."""

    def __init__(self, catalog: Catalog) -> None:
        self._exports: dict[str, set[ExportKey]] = {}
        self._identity_of: dict[ExportKey, str] = {}
        catalog.index(API_EXPORTS, self._changed)

    def exports(self, identity: str) -> Iterable[ExportKey]:
        """The exports with this identity hash, sorted."""
        return sorted(self._exports.get(identity, ()))

    def _changed(self, _: str, cluster: str, name: str, export: Object | None) -> None:
        key = (cluster, name)
        identity = ((export or {}).get("status") or {}).get("identityHash") or ""
        before = self._identity_of.pop(key, "")
        if before:
            keys = self._exports[before]
            keys.discard(key)
            if not keys:
                del self._exports[before]
        if identity:
            self._identity_of[key] = identity
            self._exports.setdefault(identity, set()).add(key)
