"""The definitions of bound APIResourceSchemas, shared by all clusters that bind them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from weakref import WeakValueDictionary

import orjson

from tenantry.kube.custom import definition_from_api_resource_schema
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, is_deleting
from tenantry.placement.catalog import Catalog
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.exports.read_bindings import reference_of
from tenantry.tenancy.exports.virtual_storage import is_virtual
from tenantry.tenancy.resources import API_RESOURCE_SCHEMAS
from tenantry.tenancy.types import SystemDefinitions

_LARGE_BYTES = 8 << 10
"""A schema with more is read in a thread by who can wait for that."""
_AT_ONCE_BYTES = 64 << 10
"""The most bytes of schemas that are read in one turn of the event loop."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Bound:
    """What an APIBinding says about the APIs that it serves. `export`: its cluster id and name. `schemas`: (uid, name, identity
    hash) of each bound APIResourceSchema, and whether its storage is virtual."""

    export: ExportKey
    deleting: bool
    schemas: tuple[tuple[str, str, str, bool], ...]

    @classmethod
    def of(cls, binding: Object) -> Bound:
        """All bindings that say the same give the same value."""
        status = binding.get("status") or {}
        schemas = [(bound["schema"], is_virtual(bound)) for bound in status.get("boundResources") or ()]
        said = (
            (status.get("apiExportClusterName", ""), reference_of(binding)[1]),
            is_deleting(binding),
            tuple((schema["UID"], schema["name"], schema["identityHash"], virtual) for schema, virtual in schemas),
        )
        found = _bound.get(said)
        return found if found is not None else _bound.setdefault(said, cls(*said))


_bound: WeakValueDictionary[tuple[ExportKey, bool, tuple[tuple[str, str, str, bool], ...]], Bound] = WeakValueDictionary()


class BoundDefinitions:
    """They are kept alive by who uses them: sets of APIs, views, and watches."""

    def __init__(self, catalog: Catalog, definitions: SystemDefinitions) -> None:
        self._catalog = catalog
        self._definitions = definitions
        self._known: WeakValueDictionary[tuple[str, str], ResourceDefinition] = WeakValueDictionary()

    def get(self, uid: str, identity: str) -> ResourceDefinition | None:
        """The definition of the schema with that uid under an identity hash; None if it is not in use."""
        return self._known.get((uid, identity))

    def of(self, schema: Object, identity: str) -> ResourceDefinition:
        """The definition of an APIResourceSchema under an identity hash. Raises StatusError or ValueError if the schema is
        invalid."""
        key = (schema["metadata"]["uid"], identity)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._make(schema, identity)
        return found

    def are_large(self, bindings: Iterable[Bound]) -> bool:
        """Whether the schemas that are not in use yet are too large to be read in one turn of the event loop."""
        unread = [(identity, len(raw)) for bound in bindings for _, identity, raw in self._unread(bound)]
        return sum(size for _, size in unread) > _AT_ONCE_BYTES or any(self._definitions.takes_long(each) for each, _ in unread)

    async def read(self, bound: Bound) -> list[ResourceDefinition]:
        """Reads the large schemas of a binding in a thread. `of` finds them while the caller keeps the list. Raises as `of`."""
        kept: list[ResourceDefinition] = []
        for uid, identity, raw in list(self._unread(bound)):
            if len(raw) > _LARGE_BYTES or self._definitions.takes_long(identity):
                found = await asyncio.to_thread(self._decode, raw, identity)
                if found.uid == uid:
                    kept.append(self._known.setdefault((uid, identity), found))
        return kept

    def _unread(self, bound: Bound) -> Iterator[tuple[str, str, bytes]]:
        """(uid, identity hash, copy as JSON) of each schema that is not in use yet."""
        for uid, name, identity, _ in bound.schemas:
            if (uid, identity) not in self._known:
                entry = self._catalog.entry(API_RESOURCE_SCHEMAS, bound.export[0], name)
                if entry is not None:
                    yield uid, identity, entry.raw

    def _decode(self, raw: bytes, identity: str) -> ResourceDefinition:
        return self._make(orjson.loads(raw), identity)

    def _make(self, schema: Object, identity: str) -> ResourceDefinition:
        names = schema["spec"]
        own = self._definitions.bound(names["group"], names["names"]["plural"], identity)
        if own is not None:
            return own
        return definition_from_api_resource_schema(schema, identity=identity)
