"""Functions that read APIBindings, and a cache of decoded records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from tenantry.base.cache import Cache
from tenantry.kube.decoded_size import decoded_bytes
from tenantry.kube.objects import GroupResource, Object
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record
from tenantry.tenancy.resources import API_BINDINGS

GROUP = "apis.kcp.io"

BINDING_RESOURCE = GroupResource(GROUP, "apibindings")
EXPORT_RESOURCE = GroupResource(GROUP, "apiexports")

_decoded: Cache[Key, tuple[Record, Object]] = Cache(
    "decoded_records", bytes_max=16 << 20, size=lambda known: len(known[0].value) + decoded_bytes(known[0].value)
)


def decoded(record: Record) -> Object:
    """The decoded object of a record, without apiVersion, kind and resourceVersion. It is shared: never change it."""
    known = _decoded.get(record.key)
    if known is not None and known[0] is record:
        return known[1]
    obj: Object = orjson.loads(record.value)
    _decoded.put(record.key, (record, obj))
    return obj


def bindings_of(range: Range, cluster: str) -> list[Object]:
    """The APIBindings of a logical cluster. They are shared: never change them."""
    return [decoded(record) for record in range.list(API_BINDINGS, cluster)]


def reference_of(binding: Object) -> tuple[str, str]:
    """(path, name) of the export to which a binding or an endpoint slice refers. The path is empty for its own cluster."""
    spec = binding.get("spec") or {}
    export = (spec.get("reference") or {}).get("export") or spec.get("export") or {}
    return export.get("path") or "", export.get("name") or ""


def binding_to(bindings: Iterable[Object], cluster: str, name: str) -> Object | None:
    """The binding to the export with this cluster (id) and name; None if there is none."""
    for binding in bindings:
        path, referred = reference_of(binding)
        if referred != name:
            continue
        home = (binding.get("status") or {}).get("apiExportClusterName")
        if home == cluster or (not home and path == cluster):
            return binding
    return None


def bound_resource(binding: Object, group: str, resource: str) -> dict[str, Any] | None:
    """The entry of `status.boundResources` for a resource (plural); None if it is not bound."""
    entry: dict[str, Any]
    for entry in (binding.get("status") or {}).get("boundResources") or ():
        if entry.get("resource") == resource and (entry.get("group") or "") == group:
            return entry
    return None


def identity_of(export: Object) -> str:
    return (export.get("status") or {}).get("identityHash") or ""
