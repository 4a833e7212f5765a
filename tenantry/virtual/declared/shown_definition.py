"""The definitions that a declared view serves: those of the export's view with fewer verbs, one version, and other schemas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from tenantry.kube.codec import stored
from tenantry.kube.custom import definition_from_api_resource_schema
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.kube.printer_columns import columns_of
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.schema.structural import Schema
from tenantry.virtual.declared.hidden.paths import HiddenPath, Paths
from tenantry.virtual.declared.hidden.schema import without_hidden_defaults
from tenantry.virtual.declared.hidden.strategy import HidingStrategy
from tenantry.virtual.restricted_definitions import NO_SUBRESOURCES, restricted
from tenantry.virtual.view import READ_VERBS

_BOTH = ("status", "scale")
COUNT_VERSION = "v1"


@cache
def _any_object() -> Schema:
    text = {"type": "string"}
    properties = {"apiVersion": text, "kind": text, "metadata": {"type": "object"}}
    return from_openapi({"type": "object", "properties": properties, "x-kubernetes-preserve-unknown-fields": True})


def shown_definition(source: ResourceDefinition, entry: Mapping[str, Any], mark: str) -> ResourceDefinition | None:
    """The definition of an entry of `spec.resources`; None if the type does not serve its version.

    `mark` is another one for each entry that shows something else, so that watches end when the entry changes.
    """
    served = entry.get("version") or _default_version(source)
    if served not in source.versions or not source.versions[served].served:
        return None
    verbs: Sequence[str] = entry.get("verbs") or READ_VERBS
    if "show" in entry:
        # What an expression makes cannot be turned back into an object.
        verbs = [verb for verb in verbs if verb in READ_VERBS]
    reads = frozenset(verbs) <= frozenset(READ_VERBS)
    paths = hidden_paths(entry)
    subresources = {name: tuple(verbs) for name in _BOTH if name != "scale" or not _hides_scale(source.versions[served], paths)}
    base = restricted(source, verbs, NO_SUBRESOURCES if reads else subresources)
    versions = {each.name: replace(each, served=each.name == served, memo={}) for each in base.versions.values()}
    made = replace(base, versions=versions, uid=f"{source.uid}/{mark}", origin=base)
    if "show" in entry:
        return replace(made, versions=_with_any_fields(source, versions), custom=True)
    if not paths:
        return made
    if reads:
        return replace(made, versions=_without_messages(_with_less(source, versions)), custom=True)
    # Bodies and patches are read as those of the type itself: strategic merges, and Go's rules for built-in types.
    strategy = HidingStrategy(source.strategy, paths, go_fields=source.versions[served].message is not None)
    return replace(made, versions=_without_fields(source, versions, paths), strategy=strategy, memory_bytes=2 * made.memory_bytes)


def hidden_paths(entry: Mapping[str, Any]) -> tuple[HiddenPath, ...]:
    """The fields that an entry of `spec.resources` hides."""
    return tuple(tuple(path.split(".")) for path in entry.get("hiddenFields") or ())


def _hides_scale(version: Version, paths: Sequence[HiddenPath]) -> bool:
    """Whether something of the scale subresource is hidden."""
    if version.scale is None:
        return False
    shown = (version.scale.spec_replicas, version.scale.status_replicas, version.scale.label_selector)
    fields = [tuple(path.strip(".").split(".")) for path in shown if path]
    return any(field[: len(path)] == path for field in fields for path in paths)


def _default_version(source: ResourceDefinition) -> str:
    if source.versions[source.storage_version].served:
        return source.storage_version
    return next((version.name for version in source.versions.values() if version.served), "")


def _with_less(source: ResourceDefinition, versions: Mapping[str, Version]) -> dict[str, Version]:
    """Versions of objects without some fields. Field selectors would tell of the fields that are not shown, and the columns of
    built-in types may need them. There is no protobuf: its messages are not known to lack fields."""
    return {
        name: replace(version, selectable={}, columns=version.columns if source.custom else columns_of(()))
        for name, version in versions.items()
    }


def _without_messages(versions: Mapping[str, Version]) -> dict[str, Version]:
    return {name: replace(version, message=None, protobuf=None) for name, version in versions.items()}


def _without_fields(source: ResourceDefinition, versions: Mapping[str, Version], paths: Paths) -> dict[str, Version]:
    """Versions of objects that clients write without some fields."""
    made = _with_less(source, versions)
    return {
        name: stored.sharing_mark(
            source, source.versions[name], replace(version, schema=without_hidden_defaults(version.schema, paths), memo={})
        )
        # The schema of a built-in type neither defaults nor requires.
        if version.message is None
        else version
        for name, version in made.items()
    }


def _with_any_fields(source: ResourceDefinition, versions: Mapping[str, Version]) -> dict[str, Version]:
    """Versions whose objects have any fields, as an expression makes them. What it reads is of the type's own shape."""
    return {
        name: replace(version, schema=_any_object(), from_storage=_reader(source, name), to_storage=None)
        for name, version in _without_messages(_with_less(source, versions)).items()
    }


def _reader(source: ResourceDefinition, version: str) -> Callable[[Object], Object] | None:
    """How a stored object is read in the source's shape, although the definition is another one."""
    if not source.custom:
        return source.versions[version].from_storage
    return lambda obj: stored.reshaped(obj, source, version)


def count_definition(entry: Mapping[str, Any], mark: str) -> ResourceDefinition:
    """The type of an entry of `spec.counts`: one object for each consumer."""
    kind, plural = entry["kind"], entry["resource"]
    schema = {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "cluster": {"type": "string", "description": "The id of the consumer's logical cluster."},
            "count": {"type": "integer", "format": "int64", "description": "How many objects it has."},
        },
    }
    columns = [
        {"name": "Count", "type": "integer", "jsonPath": ".count"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    version = {
        "name": COUNT_VERSION,
        "served": True,
        "storage": True,
        "schema": schema,
        "additionalPrinterColumns": columns,
    }
    spec = {
        "group": entry["group"],
        "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"},
        "scope": "Cluster",
        "versions": [version],
    }
    made = definition_from_api_resource_schema({"metadata": {"uid": f"count/{mark}"}, "spec": spec}, identity="")
    return restricted(made, READ_VERBS, NO_SUBRESOURCES)
