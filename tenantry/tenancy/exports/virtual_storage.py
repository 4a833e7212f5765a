"""Virtual storage of an APIExport (kcp): consumers read objects that the provider has elsewhere, and write none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.tenancy.exports.identity_index import ExportKey

READ_VERBS = ("get", "list", "watch")


def is_virtual(bound: Mapping[str, Any]) -> bool:
    """Whether an entry of `APIBinding.status.boundResources` is bound to virtual storage: it has no storage versions."""
    return not bound.get("storageVersions")


def virtual_resource(export: Object, group: str, plural: str) -> Mapping[str, Any] | None:
    """The entry in `spec.resources` of a resource with virtual storage; None if its objects are stored by consumers."""
    resource: Mapping[str, Any]
    for resource in (export.get("spec") or {}).get("resources") or ():
        if resource.get("name") == plural and (resource.get("group") or "") == group:
            return resource if (resource.get("storage") or {}).get("virtual") else None
    return None


def read_only(definition: ResourceDefinition, export: ExportKey) -> ResourceDefinition:
    """The definition of a type with virtual storage. `definition`: of the same schema and identity. Equal arguments give the
    same value."""
    memo = definition.versions[definition.storage_version].memo
    key = ("tenancy.read_only", definition.identity, export)
    found: ResourceDefinition | None = memo.get(key)
    if found is None:
        found = memo[key] = replace(
            definition,
            verbs=READ_VERBS,
            versions={name: _read_only(version) for name, version in definition.versions.items()},
            stored=False,
            virtual_storage=export,
            origin=definition,
        )
    return found


def not_listed(definition: ResourceDefinition) -> ResourceDefinition:
    """The same type, not listed by discovery. Equal arguments give the same value."""
    memo = definition.versions[definition.storage_version].memo
    key = ("tenancy.not_listed", definition.virtual_storage, definition.terminating)
    found: ResourceDefinition | None = memo.get(key)
    if found is None:
        found = memo[key] = replace(definition, listed=False, origin=definition)
    return found


def _read_only(version: Version) -> Version:
    """Its status is shown with the object. The subresource is listed, and has no verb (kcp)."""
    status = version.subresources & {"status"}
    return replace(version, subresources=status, subresource_verbs=dict.fromkeys(status, ()), scale=None, memo={})
