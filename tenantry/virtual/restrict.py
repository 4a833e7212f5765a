"""Types with fewer verbs and subresources than they have elsewhere. One value for each restriction, shared by all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tenantry.kube.definition import ResourceDefinition, Version

STATUS_ONLY = frozenset({"status"})
NO_SUBRESOURCES: frozenset[str] = frozenset()


def restricted(
    definition: ResourceDefinition, verbs: Iterable[str], subresources: frozenset[str] = STATUS_ONLY, *, mute: bool = False
) -> ResourceDefinition:
    """The definition with those of its verbs and subresources that are named. The definition itself where nothing is lost.

    `mute` lists the subresources without verbs: for places where they cannot be reached, but are shown.
    """
    wanted = frozenset(verbs)
    # In lexical order, as kcp's views list them; custom types list theirs in another order elsewhere.
    kept = tuple(sorted(verb for verb in definition.verbs if verb in wanted))
    lost = mute or any(
        version.subresources - subresources or (version.scale and "scale" not in subresources)
        for version in definition.versions.values()
    )
    if kept == definition.verbs and not lost:
        return definition
    memo = definition.versions[definition.storage_version].memo
    key = ("virtual.restricted", definition.identity, definition.terminating, kept, subresources, mute)
    found: ResourceDefinition | None = memo.get(key)
    if found is None:
        versions = definition.versions
        if lost:
            versions = {name: _version(version, subresources, mute) for name, version in versions.items()}
        found = memo[key] = replace(definition, verbs=kept, versions=versions)
    return found


def _version(version: Version, subresources: frozenset[str], mute: bool) -> Version:
    kept = version.subresources & subresources
    return replace(
        version,
        subresources=kept,
        subresource_verbs=dict.fromkeys(kept, ()) if mute else version.subresource_verbs,
        scale=version.scale if "scale" in subresources else None,
        memo={},
    )
