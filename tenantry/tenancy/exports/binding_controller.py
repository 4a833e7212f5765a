"""The controller of APIBindings, and the creation of bindings that are already Bound."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from tenantry.apiserver import records
from tenantry.base.cache import Cache
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.exact import exact
from tenantry.kube.objects import Object, annotations_of, name_of, timestamp
from tenantry.kube.status import not_found
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.storage.retry_on_conflict import transact
from tenantry.tenancy.exports import resource_locks
from tenantry.tenancy.exports.binding_index import BindingIndex
from tenantry.tenancy.exports.binding_status import CLAIMS_APPLIED, CLAIMS_VALID, Names, bound_status, names_in, unresolved_status
from tenantry.tenancy.exports.conditions import FALSE, mark_true
from tenantry.tenancy.exports.export_lookup import Export, ExportLookup
from tenantry.tenancy.exports.hashing import EXPORT_LABEL, REFLEXIVE_VALUE, claim_hash, claim_label, export_hash
from tenantry.tenancy.exports.permission_claims import ACCEPTED
from tenantry.tenancy.exports.read_bindings import (
    EXPORT_RESOURCE,
    bindings_of,
    decoded,
    reference_of,
)
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.resources import (
    API_BINDINGS,
    API_EXPORTS,
    API_RESOURCE_SCHEMAS,
    CUSTOM_RESOURCE_DEFINITIONS,
    LOGICAL_CLUSTERS,
)
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.well_known import PATH_ANNOTATION

FINALIZER = "apis.kcp.io/apibinding-finalizer"
EXTRA_ANNOTATION_PREFIX = "extra.apis.kcp.io/"
_EXTRA_CHARACTERS = 32 * 1024
_templates: Cache[tuple[str, str, bool], tuple[Object, tuple[Object, ...], bytes]] = Cache("binding_templates", bytes_max=8 << 20)
"""(export cluster, export, accepts claims) → the export and schemas of the catalog, and the encoded binding made from them."""


def bound_binding(
    exports: ExportLookup,
    export_cluster: str,
    export_name: str,
    *,
    binding_name: str,
    cluster: str,
    accept_claims: bool,
    path: str = "",
    export_path: str = "",
) -> Object:
    """An APIBinding (v1alpha2) that is already Bound, for a new logical cluster, in which nothing can conflict.

    It is written in one transaction with the LogicalCluster, whose annotation is made by `resource_locks.locks_annotation`.
    `accept_claims`: whether it accepts every claim of the export, with the claim's default selector or for all objects. `path`:
    the canonical path of `cluster` (annotation kcp.io/path). `export_path`: the value of `spec.reference.export.path`, by
    default the export's own path.

    If the export is not ready, the binding is in phase Binding. Raises StatusError 404 if the export is unknown.
    """
    export = exports.get(export_cluster, export_name)
    if export is None:
        raise not_found(EXPORT_RESOURCE, f"{export_cluster}:{export_name}")
    schemas = _schemas(exports, Export(export_cluster, export_name, export))
    place = (export_cluster, export_name, accept_claims)
    known = _templates.get(place)
    state = tuple(schemas.values())
    if (
        known is None
        or known[0] is not export
        or len(known[1]) != len(state)
        or any(a is not b for a, b in zip(known[1], state, strict=True))
    ):
        known = (export, state, exact(orjson.dumps(_template(export_cluster, export, schemas, accept_claims))))
        _templates.put(place, known, len(known[2]) + 8 * len(state))
    binding: Object = orjson.loads(known[2])
    now = timestamp()
    metadata = binding["metadata"]
    metadata["name"] = binding_name
    if path:
        metadata["annotations"] = {**metadata.get("annotations", {}), PATH_ANNOTATION: path}
    if export_path:
        binding["spec"]["reference"]["export"]["path"] = export_path
    for condition in binding["status"]["conditions"]:
        condition["lastTransitionTime"] = now
    return binding


def _template(export_cluster: str, export: Object, schemas: dict[str, Object], accept_claims: bool) -> Object:
    name = name_of(export)
    claims = [accepted(claim) for claim in (export.get("spec") or {}).get("permissionClaims") or ()] if accept_claims else []
    label = claim_label(export_cluster, name)
    value = REFLEXIVE_VALUE
    for claim in claims:
        if claim.get("group") == "apis.kcp.io" and claim.get("resource") == "apibindings" and claim["selector"].get("matchAll"):
            value = claim_hash(claim["group"], claim["resource"], claim.get("identityHash") or "")
    binding: Object = {
        "apiVersion": "apis.kcp.io/v1alpha2",
        "kind": "APIBinding",
        "metadata": {
            "name": "",
            "labels": {label: value, EXPORT_LABEL: export_hash(export_cluster, name)},
            "finalizers": [FINALIZER],
        },
        "spec": {"reference": {"export": {"path": annotations_of(export).get(PATH_ANNOTATION) or export_cluster, "name": name}}},
    }
    extra = extra_annotations(export)
    if extra:
        binding["metadata"]["annotations"] = extra
    if claims:
        binding["spec"]["permissionClaims"] = claims
    status = bound_status(binding, export_cluster, export, schemas, now="")
    if claims:
        status["appliedPermissionClaims"] = [{k: v for k, v in claim.items() if k != "state"} for claim in claims]
    mark_true(status, CLAIMS_APPLIED, "")
    mark_true(status, CLAIMS_VALID, "")
    binding["status"] = status
    return binding


def accepted(claim: dict[str, Any]) -> dict[str, Any]:
    """An export's claim as an accepted claim of a binding, with the claim's default selector, or for all objects."""
    out = {k: v for k, v in claim.items() if k != "defaultSelector"}
    out["selector"] = claim.get("defaultSelector") or {"matchAll": True}
    out["state"] = ACCEPTED
    return out


def extra_annotations(export: Object) -> dict[str, str]:
    """The annotations of an export that are copied to its bindings (kcp). None if they are too long in total: consumers could
    not write their bindings."""
    extra = {k: v for k, v in annotations_of(export).items() if k.startswith(EXTRA_ANNOTATION_PREFIX)}
    return extra if sum(len(k) + len(v) for k, v in extra.items()) <= _EXTRA_CHARACTERS else {}


def taken_names(range_: Range, cluster: str, binding_name: str, exports: ExportLookup) -> list[Names]:
    """The names of the types that a cluster has from other bindings and from CustomResourceDefinitions."""
    taken: list[Names] = []
    for binding in bindings_of(range_, cluster):
        if name_of(binding) != binding_name:
            taken.extend(bound_names(exports, binding))
    taken.extend(
        names_in(crd.get("spec") or {}, f'CustomResourceDefinition "{name_of(crd)}"')
        for crd in map(decoded, range_.list(CUSTOM_RESOURCE_DEFINITIONS, cluster))
    )
    return taken


def bound_names(exports: ExportLookup, binding: Object) -> list[Names]:
    """The names of the types that a binding has bound."""
    status = binding.get("status") or {}
    home = status.get("apiExportClusterName") or ""
    owner = f'APIBinding "{name_of(binding)}"'
    found: list[Names] = []
    for entry in status.get("boundResources") or ():
        schema = exports.schema(home, entry["schema"]["name"])
        spec = schema["spec"] if schema is not None else {"group": entry.get("group"), "names": {"plural": entry["resource"]}}
        found.append(names_in(spec, owner))
    return found


class BindingController(ObjectController):
    """Keeps the status of APIBindings, and the locks in their LogicalClusters, up to date with their exports.

    It reads exports and schemas from the catalog, so that the export may be on any shard.
    """

    name = "apibinding"

    def __init__(
        self,
        index: BindingIndex,
        *,
        cell: Cell,
        catalog: Catalog,
        definitions: SystemDefinitions,
        changes: Changes,
        exports: ExportLookup,
    ) -> None:
        self._cell = cell
        self._catalog = catalog
        self._definitions = definitions
        self._changes = changes
        self._exports = exports
        self._index = index
        self._waiting: dict[str, set[Key]] = {}
        """Cluster → its bindings with a False condition. Changes in the cluster may resolve that, so they are reconciled
        again."""
        self._catalog.subscribe(API_EXPORTS, self._export_changed)
        self._catalog.subscribe(API_RESOURCE_SCHEMAS, self._schema_changed)

    @property
    def resources(self) -> Sequence[str]:
        """The resources from which names and locks of a cluster are computed."""
        return (API_BINDINGS, CUSTOM_RESOURCE_DEFINITIONS, LOGICAL_CLUSTERS)

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        own = (key,) if key.resource == API_BINDINGS else ()
        waiting = self._waiting.get(key.cluster)
        return (*own, *(each for each in waiting if each != key)) if waiting else own

    async def wait_for_sync(self, range_: Range) -> None:
        await self._index.filled(range_)

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key for record in range_.each(API_BINDINGS))

    def released(self, range_: Range) -> None:
        self._waiting = {cluster: keys for cluster, keys in self._waiting.items() if cluster not in range_}

    async def reconcile(self, range_: Range, key: Key) -> None:
        logical_cluster = Key(key.cluster, LOGICAL_CLUSTERS, "", "cluster")
        record = range_.get(key)
        if record is None or record.head.deleting:
            self._note(key, waits=False)
            return
        await transact(
            self._cell, (key, logical_cluster), lambda: self._compute(range_.get(key), range_.get(logical_cluster), range_)
        )

    def _compute(self, record: Record | None, logical_cluster: Record | None, range_: Range) -> list[Change]:
        if record is None or record.head.deleting:
            return []
        binding = decoded(record)
        locked = resource_locks.locks_of(decoded(logical_cluster)) if logical_cluster is not None else ""
        status, extra = self._wanted(range_, record.key.cluster, binding, locked)
        self._note(record.key, waits=any(each.get("status") == FALSE for each in status.get("conditions") or ()))
        changes: list[Change] = []
        if status != binding.get("status") or not extra.items() <= annotations_of(binding).items():
            definition = self._definitions.api_bindings
            obj = records.decode(record, definition, definition.storage_version)
            obj["status"] = status
            if extra:
                obj["metadata"]["annotations"] = {**annotations_of(obj), **extra}
            changes.append(self._changes.updated(definition, record, obj))
        after = resource_locks.with_locks(locked, record.key.name, status.get("boundResources") or ())
        if logical_cluster is not None and after != locked:
            definition = self._definitions.logical_clusters
            obj = records.decode(logical_cluster, definition, definition.storage_version)
            obj["metadata"]["annotations"] = {**annotations_of(obj), resource_locks.LOCKS_ANNOTATION: after}
            changes.append(self._changes.updated(definition, logical_cluster, obj))
        return changes

    def _note(self, key: Key, *, waits: bool) -> None:
        if waits:
            self._waiting.setdefault(key.cluster, set()).add(key)
        elif key.cluster in self._waiting:
            keys = self._waiting[key.cluster]
            keys.discard(key)
            if not keys:
                del self._waiting[key.cluster]

    def _wanted(self, range_: Range, cluster: str, binding: Object, locked: str) -> tuple[Object, dict[str, str]]:
        now = timestamp()
        path, name = reference_of(binding)
        export = self._exports.find(cluster, path, name)
        if export is None:
            return unresolved_status(binding, "APIExportNotFound", f"APIExport {path or cluster}|{name} not found", now=now), {}
        status = bound_status(
            binding,
            export.cluster,
            export.object,
            _schemas(self._exports, export),
            taken=taken_names(range_, cluster, name_of(binding), self._exports),
            locked=resource_locks.locked_by_others(resource_locks.parse(locked), name_of(binding)),
            now=now,
        )
        if not (binding.get("spec") or {}).get("permissionClaims"):
            status.pop("appliedPermissionClaims", None)
            mark_true(status, CLAIMS_APPLIED, now)
            mark_true(status, CLAIMS_VALID, now)
        return status, extra_annotations(export.object)

    def _export_changed(self, _: str, cluster: str, name: str, obj: Object | None) -> None:
        self.enqueue_all((cluster, name), lambda: self._index.keys(export_hash(cluster, name)))

    def _schema_changed(self, resource: str, cluster: str, name: str, obj: Object | None) -> None:
        if self._catalog.has_any(API_EXPORTS, cluster):
            self.enqueue_all(("schema", cluster, name), lambda: self._users_of(cluster, name))

    def _users_of(self, cluster: str, schema: str) -> Iterable[Key | None]:
        """The bindings to the exports of `cluster` that have the schema, with None between them."""
        for export_name in self._catalog.names_in(API_EXPORTS, cluster):
            export = self._catalog.get(API_EXPORTS, cluster, export_name) or {}
            if any(entry.get("schema") == schema for entry in (export.get("spec") or {}).get("resources") or ()):
                yield from self._index.keys(export_hash(cluster, export_name))
            yield None


def _schemas(exports: ExportLookup, export: Export) -> dict[str, Object]:
    found: dict[str, Object] = {}
    for entry in (export.object.get("spec") or {}).get("resources") or ():
        schema = exports.schema(export.cluster, entry["schema"])
        if schema is not None:
            found[entry["schema"]] = schema
    return found
