"""`ObjectsByExport`: which objects of a controller are about which export."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.exports.identity_index import ExportKey


class ObjectsByExport:
    """The keys of objects whose status depends on an export, by the export. An object is about one export at a time."""

    def __init__(self) -> None:
        self._by_export: dict[ExportKey, set[Key]] = {}
        self._export_of: dict[Key, ExportKey] = {}

    def __contains__(self, export: ExportKey) -> bool:
        """Whether any object is about it."""
        return export in self._by_export

    def of(self, export: ExportKey) -> Iterable[Key]:
        """The objects that are about it."""
        return tuple(self._by_export.get(export, ()))

    def export_of(self, key: Key) -> ExportKey | None:
        """The export that an object is about; None: none, or the object is not known."""
        return self._export_of.get(key)

    def all(self) -> Iterable[Key]:
        return tuple(self._export_of)

    def in_range(self, range_: Range) -> Iterable[Key]:
        return [key for key in self._export_of if key.cluster in range_]

    def remember(self, key: Key, export: ExportKey | None) -> None:
        """From now on the object is about this export, and no other; None: about none."""
        if self._export_of.get(key) != export:
            self.forget(key)
            if export is not None:
                self._export_of[key] = export
                self._by_export.setdefault(export, set()).add(key)

    def forget(self, key: Key) -> None:
        """The object is gone, or its range belongs to another shard. Nothing happens if it is not known."""
        export = self._export_of.pop(key, None)
        if export is not None:
            self._by_export[export].discard(key)
            if not self._by_export[export]:
                del self._by_export[export]
