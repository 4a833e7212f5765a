"""Types with fewer verbs and subresources than they have elsewhere. One value for each restriction, shared by all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tenantry.kube.definition import ResourceDefinition, Version

STATUS_ONLY = frozenset({"status"})


def restricted(
    definition: ResourceDefinition, verbs: Iterable[str], subresources: frozenset[str] = STATUS_ONLY
) -> ResourceDefinition:
    """The definition with those of its verbs and subresources that are named. The definition itself where nothing is lost."""
    wanted = frozenset(verbs)
    kept = tuple(verb for verb in definition.verbs if verb in wanted)
    lost = any(
        version.subresources - subresources or (version.scale and "scale" not in subresources)
        for version in definition.versions.values()
    )
    if kept == definition.verbs and not lost:
        return definition
    memo = definition.versions[definition.storage_version].memo
    key = ("virtual.restricted", definition.identity, kept, subresources)
    found: ResourceDefinition | None = memo.get(key)
    if found is None or found.terminating != definition.terminating:
        versions = (
            {name: _version(version, subresources) for name, version in definition.versions.items()}
            if lost
            else definition.versions
        )
        found = memo[key] = replace(definition, verbs=kept, versions=versions)
    return found


def _version(version: Version, subresources: frozenset[str]) -> Version:
    return replace(
        version,
        subresources=version.subresources & subresources,
        scale=version.scale if "scale" in subresources else None,
        memo={},
    )
