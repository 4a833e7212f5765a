"""The managers of an object's fields, as a write sees and sets them."""

from __future__ import annotations

from collections.abc import Collection

from tenantry.apiserver.verbs.write import Target
from tenantry.kube.apply.managed_fields import ResetFields, record_update
from tenantry.kube.apply.other_versions import OtherVersions
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.kube.types import BUILTINS


def reset_fields(definition: ResourceDefinition, shape: Version, subresource: str) -> ResetFields:
    """The fields that an endpoint ignores in what it is sent, so that a writer does not own them by sending them."""
    own = definition.strategy.reset_fields.get(subresource)
    if own is not None:
        return own
    if "status" not in shape.subresources:
        return ()
    if subresource != "status":
        return (("status",),)
    known: ResetFields | None = shape.memo.get("write.reset")
    if known is None:
        # Built-in types accept metadata on /status, custom types do not.
        written = ("apiVersion", "kind", "status") if shape.message is None else ("apiVersion", "kind", "status", "metadata")
        known = tuple((name,) for name in shape.schema.properties if name not in written) + definition.strategy.status_resets
        shape.memo["write.reset"] = known
    return known


def known_versions(definition: ResourceDefinition) -> Collection[str]:
    """The apiVersions that managers of a type's objects may have in managedFields."""
    memo = definition.versions[definition.storage_version].memo
    known: frozenset[str] | None = memo.get("write.versions")
    if known is None:
        whole = definition
        # A view may serve fewer versions, and managers of others keep what they own.
        while whole.origin is not None:
            whole = whole.origin
        names = [definition.api_version(version.name) for version in whole.versions.values() if version.served]
        # Two types that share their storage write the same objects.
        sharing = (each for each in BUILTINS if not definition.custom and each.storage_key == definition.storage_key)
        names += [each.api_version(name) for each in sharing for name in each.versions]
        known = memo["write.versions"] = frozenset(names)
    return known


def record_manager(target: Target, obj: Object, old: Object | None, now: str, others: OtherVersions | None = None) -> None:
    """Sets metadata.managedFields in `obj` for a write that is not an apply. `old` is None on create. Raises NotConverted, where
    there are `others`."""
    if not target.manager:
        if old is not None and "managedFields" in old["metadata"]:
            obj["metadata"].setdefault("managedFields", old["metadata"]["managedFields"])
        return
    shape = target.shape
    record_update(
        obj,
        old,
        manager=target.manager,
        api_version=target.api_version,
        schema=shape.schema,
        subresource=target.subresource,
        now=now,
        reset_fields=reset_fields(target.definition, shape, target.subresource),
        versions=known_versions(target.definition),
        others=others,
    )
