"""Definitions as if another version of the type were the one in which its objects are stored."""

from __future__ import annotations

from dataclasses import replace

from tenantry.kube.definition import ResourceDefinition

_READ, _WRITTEN = "conversion.read", "conversion.written"


def stored_in(definition: ResourceDefinition, version: str) -> ResourceDefinition:
    """The type, stored in `version`. The same value where it is; else one for each version, made when it is used.

    Verbs work with it on records whose objects are in that version (`records.ConvertedRecord`), so that they need not know of
    conversion.
    """
    if version == definition.storage_version and definition.first_stored_version in ("", version):
        return definition
    memo = definition.versions[version].memo
    known: ResourceDefinition | None = memo.get(_READ)
    if known is None:
        known = memo[_READ] = _variant(definition, version, first=version)
    return known


def storing_in(definition: ResourceDefinition, version: str) -> ResourceDefinition:
    """The type, as it writes objects that stay in the version in which they are stored: by the server itself, which changes
    nothing but metadata and must not wait for a webhook."""
    if version == definition.storage_version:
        return definition
    memo = definition.versions[version].memo
    known: ResourceDefinition | None = memo.get(_WRITTEN)
    if known is None:
        known = memo[_WRITTEN] = _variant(definition, version, first=definition.first_stored_version)
    return known


def _variant(definition: ResourceDefinition, version: str, *, first: str) -> ResourceDefinition:
    # What is derived from a version depends on which one is stored.
    versions = {name: replace(shape, memo={}) for name, shape in definition.versions.items()}
    return replace(definition, versions=versions, storage_version=version, first_stored_version=first, origin=definition)
