"""Reading APIBindings and the exports they refer to, from memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tenantry.base.cache import Cache
from tenantry.kube.decoded_size import decoded_bytes
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.status import StatusError
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record
from tenantry.tenancy.exports.identities import Identities
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORTS, API_RESOURCE_SCHEMAS

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

GROUP = "apis.kcp.io"

BINDING_RESOURCE = GroupResource(GROUP, "apibindings")
EXPORT_RESOURCE = GroupResource(GROUP, "apiexports")

_decoded: Cache[Key, tuple[Record, Object]] = Cache(
    "decoded_records", bytes_max=16 << 20, size=lambda known: len(known[0].value) + decoded_bytes(known[0].value)
)


class Export(NamedTuple):
    """An APIExport and where it lives (an id)."""

    cluster: str
    name: str
    object: Object


def decoded(record: Record) -> Object:
    """The stored object of a record: shared, never change it. Without apiVersion, kind and resourceVersion."""
    known = _decoded.get(record.key)
    if known is not None and known[0] is record:
        return known[1]
    obj: Object = orjson.loads(record.value)
    _decoded.put(record.key, (record, obj))
    return obj


def bindings_of(range: Range, cluster: str) -> list[Object]:
    """The APIBindings of a logical cluster."""
    return [decoded(record) for record in range.list(API_BINDINGS, cluster)]


def reference_of(binding: Object) -> tuple[str, str]:
    """(path, name) of the export that a binding, or an endpoint slice, refers to; the path is empty for its own cluster."""
    spec = binding.get("spec") or {}
    export = (spec.get("reference") or {}).get("export") or spec.get("export") or {}
    return export.get("path") or "", export.get("name") or ""


def resolve_cluster(host: Host, cluster: str, path: str) -> str | None:
    """The cluster id behind a reference path (a path or an id) as seen from `cluster`; None where there is none."""
    if not path:
        return cluster
    try:
        return host.directory.cluster_of(path)
    except StatusError:
        return None


def find_export(host: Host, cluster: str, path: str, name: str) -> Export | None:
    """The export that (path, name) in `cluster` means, wherever it lives."""
    home = resolve_cluster(host, cluster, path)
    if home is None or not name:
        return None
    found = get_export(host, home, name)
    return Export(home, name, found) if found is not None else None


def get_export(host: Host, cluster: str, name: str) -> Object | None:
    """An APIExport by its cluster id. Shared, never change it.

    From the catalog also where the original is held here: news of a commit may come by the catalog before memory shows it, and
    who follows the catalog must not look at what was before.
    """
    return host.catalog.get(API_EXPORTS, cluster, name)


def get_schema(host: Host, cluster: str, name: str) -> Object | None:
    """An APIResourceSchema by the cluster id of its export. Shared, never change it."""
    return host.catalog.get(API_RESOURCE_SCHEMAS, cluster, name)


def exports_with_identity(host: Host, identity: str) -> list[Export]:
    """Every APIExport whose status has this identity hash, in the order of cluster and name."""
    places = host.part(Identities).exports(identity)
    return [Export(*place, found) for place in places if (found := get_export(host, *place)) is not None]


def bound_export(host: Host, cluster: str, binding: Object) -> Export | None:
    """The export that a binding in `cluster` is bound to, or refers to while it is not bound yet."""
    path, name = reference_of(binding)
    home = (binding.get("status") or {}).get("apiExportClusterName")
    if home:
        found = get_export(host, home, name)
        return Export(home, name, found) if found is not None else None
    return find_export(host, cluster, path, name)


def binding_to(bindings: Iterable[Object], cluster: str, name: str) -> Object | None:
    """The binding to an export, which is named by its cluster id and name."""
    for binding in bindings:
        path, referred = reference_of(binding)
        if referred != name:
            continue
        home = (binding.get("status") or {}).get("apiExportClusterName")
        if home == cluster or (not home and path == cluster):
            return binding
    return None


def bound_resource(binding: Object, group: str, resource: str) -> dict[str, Any] | None:
    """The entry of `status.boundResources` for a resource."""
    for entry in (binding.get("status") or {}).get("boundResources") or ():
        if entry.get("resource") == resource and (entry.get("group") or "") == group:
            return entry  # type: ignore[no-any-return]
    return None


def identity_of(export: Object) -> str:
    return (export.get("status") or {}).get("identityHash") or ""
