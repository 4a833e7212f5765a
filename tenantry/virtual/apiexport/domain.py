"""The API domain of an export (kcp's word): the resources that its view serves, which are its own, the claimed ones, and
APIBindings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry.apiserver.visibility import Visibility
from tenantry.base.broadcast import KeyedBroadcast
from tenantry.base.cache import Cache, size_of
from tenantry.kube.api_set import bytes_of
from tenantry.kube.definition import STANDARD_VERBS, ResourceDefinition
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.storage.record import Record
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.exports.claimable import CLAIMABLE
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.hashing import EXPORT_LABEL, REFLEXIVE_VALUE, claim_hash, claim_label, export_hash
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.exports.permission_claims import normalized
from tenantry.tenancy.exports.read_bindings import BINDING_RESOURCE, identity_of
from tenantry.tenancy.exports.virtual_storage import read_only
from tenantry.tenancy.resources import API_EXPORTS, API_RESOURCE_SCHEMAS
from tenantry.tenancy.types import SystemDefinitions
from tenantry.virtual.restricted_definitions import NO_SUBRESOURCES, STATUS_AND_SCALE, restricted
from tenantry.virtual.view import READ_VERBS
from tenantry.virtual.view_scope import Filter

_DOMAINS_BYTES_MAX = 64 << 20
_ALL_VERBS = (*STANDARD_VERBS,)


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """What the view of one export serves.

    `cluster` (id) and `name`: the export, whose `export_hash` is `label`. `uid`: that of the export, which another one of its
    name does not have. `claims`: the export's claim on each claimed resource. `filters`: the visible objects of each resource
    whose objects are not all visible.
    """

    cluster: str
    name: str
    label: str
    uid: bytes
    export: Object
    definitions: tuple[ResourceDefinition, ...]
    claims: Mapping[GroupResource, Mapping[str, Any]]
    filters: Mapping[GroupResource, Visibility]

    def shows_as(self, other: Domain) -> bool:
        """Whether a watch of this one may go on with another one."""
        return (self.name, self.uid, self.definitions, self.claims) == (other.name, other.uid, other.definitions, other.claims)


def _size(known: tuple[Domain | None]) -> int:
    """In bytes, with the definitions: often there is no other reference to them."""
    domain = known[0]
    if domain is None:
        return 0
    return bytes_of(domain.definitions) + size_of((domain.claims, domain.export), _DOMAINS_BYTES_MAX)


class Domains:
    """The domains of exports, cached until any export or schema changes.

    A definition is the same value while its schema and identity are the same, so watches of it continue.
    """

    def __init__(self, *, catalog: Catalog, definitions: SystemDefinitions, exports: ExportLookup, apis: ClusterApis) -> None:
        self._definitions = definitions
        self._exports = exports
        self._apis = apis
        self._known: Cache[ExportKey, tuple[Domain | None]] = Cache(
            "export_domains", bytes_max=_DOMAINS_BYTES_MAX, entry_bytes_max=_DOMAINS_BYTES_MAX, size=_size, keeps_large=True
        )
        self._subscribers: KeyedBroadcast[ExportKey, []] = KeyedBroadcast("a subscriber of an export's view")
        self._watched: dict[ExportKey, Domain | None] = {}
        """The last known domains of exports with subscribers."""
        catalog.subscribe(API_EXPORTS, self._changed)
        catalog.subscribe(API_RESOURCE_SCHEMAS, self._changed)

    def of(self, cluster: str, name: str) -> Domain | None:
        """The domain of an export (cluster id, name); None if the export does not exist or has no identity yet."""
        place = (cluster, name)
        return self._known.compute(place, lambda: (self._compile(cluster, name),))[0]

    def subscribe(self, cluster: str, name: str, changed: Callable[[], None]) -> Callable[[], None]:
        """Calls `changed` when definitions or claims of an export changed. Returns a function that ends this."""
        place = (cluster, name)
        unsubscribe = self._subscribers.subscribe(place, changed)
        if place not in self._watched:
            self._watched[place] = self.of(cluster, name)

        def stop() -> None:
            unsubscribe()
            if place not in self._subscribers:
                self._watched.pop(place, None)

        return stop

    def _changed(self, *_: object) -> None:
        """Notifies only subscribers of exports whose definitions or claims changed: exports of other tenants change all the
        time."""
        self._known.clear()
        for place in self._subscribers:
            if place not in self._watched:
                # A subscriber that was called before ended this subscription.
                continue
            old, new = self._watched[place], self.of(*place)
            self._watched[place] = new
            if old is not None and new is not None and old.shows_as(new):
                continue
            if old is not None and new is not None and old.uid != new.uid:
                # The export of a watch is gone, though another one has its name already.
                self._known.put(place, (None,))
                self._subscribers.send(place)
                self._known.pop(place)
            else:
                self._subscribers.send(place)

    def _compile(self, cluster: str, name: str) -> Domain | None:
        export = self._exports.get(cluster, name)
        identity = identity_of(export) if export is not None else ""
        if export is None or not identity:
            return None
        spec = export.get("spec") or {}
        served: dict[GroupResource, ResourceDefinition] = {}
        for entry in spec.get("resources") or ():
            definition = self._bound(cluster, entry["schema"], identity)
            if definition is not None:
                if (entry.get("storage") or {}).get("virtual"):
                    definition = read_only(definition, (cluster, name))
                served[definition.group_resource] = restricted(definition, _ALL_VERBS, STATUS_AND_SCALE)
        claims: dict[GroupResource, Mapping[str, Any]] = {}
        filters: dict[GroupResource, Visibility] = {}
        for claim in spec.get("permissionClaims") or ():
            for resource in _claimed_resources(claim):
                definition = self._claimed(resource, claim.get("identityHash") or "")
                if resource in served or definition is None:
                    continue
                served[resource] = restricted(definition, _ALL_VERBS)
                claims[resource] = claim
                filters[resource] = _claim_filter(cluster, name, claim)
        if BINDING_RESOURCE not in served:
            served[BINDING_RESOURCE] = restricted(self._definitions.api_bindings, READ_VERBS, NO_SUBRESOURCES)
            wanted = export_hash(cluster, name)
            filters[BINDING_RESOURCE] = Filter(
                lambda record: record.head.labels.get(EXPORT_LABEL) == wanted, (EXPORT_LABEL, wanted)
            )
        uid = str(export["metadata"]["uid"]).encode()
        return Domain(cluster, name, export_hash(cluster, name), uid, export, tuple(served.values()), claims, filters)

    def _claimed(self, resource: GroupResource, identity: str) -> ResourceDefinition | None:
        if resource in CLAIMABLE:
            return self._definitions.find(resource.group, resource.resource)
        for export in self._exports.with_identity(identity):
            for entry in (export.object.get("spec") or {}).get("resources") or ():
                if (entry.get("storage") or {}).get("virtual"):
                    # Consumers have no objects of it, and so none to give away.
                    continue
                if entry.get("name") == resource.resource and (entry.get("group") or "") == resource.group:
                    definition = self._bound(export.cluster, entry["schema"], identity)
                    if definition is not None:
                        return definition
        return None

    def _bound(self, cluster: str, schema_name: str, identity: str) -> ResourceDefinition | None:
        schema = self._exports.schema(cluster, schema_name)
        if schema is None:
            return None
        try:
            return self._apis.bound_definition(schema, identity)
        except (StatusError, ValueError):
            # A schema that cannot be served does not take the export's other resources with it.
            return None


def _claimed_resources(claim: Mapping[str, Any]) -> list[GroupResource]:
    resource = GroupResource(claim.get("group") or "", claim.get("resource") or "")
    if normalized(*resource) == GroupResource("", "events"):
        return [GroupResource("", "events"), GroupResource("events.k8s.io", "events")]
    return [resource]


def _claim_filter(cluster: str, name: str, claim: Mapping[str, Any]) -> Visibility:
    key = claim_label(cluster, name)
    values = {claim_hash(claim.get("group") or "", claim.get("resource") or "", claim.get("identityHash") or "")}
    if (claim.get("group"), claim.get("resource")) == (BINDING_RESOURCE.group, BINDING_RESOURCE.resource):
        values.add(REFLEXIVE_VALUE)

    def sees(record: Record) -> bool:
        return record.head.labels.get(key) in values

    return Filter(sees, (key, frozenset(values)))
