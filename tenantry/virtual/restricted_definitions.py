"""Definitions with fewer verbs and subresources, for views. Equal restrictions of a definition give the same value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tenantry.kube.definition import ResourceDefinition, Version

READ_WRITE = ("get", "patch", "update")
STATUS: Mapping[str, tuple[str, ...]] = {"status": READ_WRITE}
STATUS_AND_SCALE: Mapping[str, tuple[str, ...]] = {"status": READ_WRITE, "scale": READ_WRITE}
READ_ONLY_STATUS: Mapping[str, tuple[str, ...]] = {"status": ()}
"""Status is shown with the object, and the subresource is not served."""
NO_SUBRESOURCES: Mapping[str, tuple[str, ...]] = {}
_READING = frozenset({"get"})


def restricted(
    definition: ResourceDefinition, verbs: Iterable[str], subresources: Mapping[str, tuple[str, ...]] = STATUS
) -> ResourceDefinition:
    """The definition with no other verbs than `verbs`, and no other subresources than `subresources` (name → its verbs).

    A subresource that keeps no verb but `get` is dropped, unless `subresources` names it with no verbs at all. Returns
    `definition` itself if nothing is restricted. A subresource that is added to a type later is in no view until the view names
    it.
    """
    wanted = frozenset(verbs)
    # In lexical order, as kcp's views list them; custom types list theirs in another order elsewhere.
    kept = tuple(sorted(verb for verb in definition.verbs if verb in wanted))
    is_restricted = any(_is_restricted(version, subresources) for version in definition.versions.values())
    if kept == definition.verbs and not is_restricted:
        return definition
    memo = definition.versions[definition.storage_version].memo
    named = tuple(sorted((name, tuple(own)) for name, own in subresources.items()))
    key = ("virtual.restricted", definition.identity, definition.terminating, kept, named)
    found: ResourceDefinition | None = memo.get(key)
    if found is None:
        versions = definition.versions
        if is_restricted:
            versions = {name: _version(version, subresources) for name, version in versions.items()}
        found = memo[key] = replace(definition, verbs=kept, versions=versions, origin=definition)
    return found


def _is_restricted(version: Version, subresources: Mapping[str, tuple[str, ...]]) -> bool:
    if version.scale is not None and "scale" not in subresources:
        return True
    return any(
        name not in subresources or not set(version.verbs_of(name)) <= set(subresources[name]) for name in version.subresources
    )


def _version(version: Version, subresources: Mapping[str, tuple[str, ...]]) -> Version:
    kept: dict[str, tuple[str, ...]] = {}
    for name in version.subresources & subresources.keys():
        verbs = tuple(verb for verb in version.verbs_of(name) if verb in subresources[name])
        # One that can only be read shows what the object shows.
        if not subresources[name] or not _READING.issuperset(verbs):
            kept[name] = verbs
    return replace(
        version,
        subresources=frozenset(kept),
        subresource_verbs=kept,
        scale=version.scale if "scale" in kept else None,
        memo={},
    )
