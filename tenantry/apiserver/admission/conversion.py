"""The objects of a write in the version in which a webhook or a policy is matched: another one of the type, or of a type that
shares its storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tenantry.apiserver import records
from tenantry.kube.admission_matching import MatchedResource
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, group_version
from tenantry.kube.types import BUILTINS


def is_converted(definition: ResourceDefinition, source: MatchedResource, target: MatchedResource) -> bool:
    """Whether `convert` changes more than the apiVersion and the kind."""
    return any(_steps(definition, source, target))


def convert(
    obj: Object | None, definition: ResourceDefinition, source: MatchedResource, target: MatchedResource
) -> Object | None:
    """An object in the kind of `target`. It is a new one, which shares its values with `obj` where nothing is converted.
    `definition`: that of the request."""
    if obj is None:
        return None
    steps = _steps(definition, source, target)
    found: Object = records.copy(obj) if any(steps) else {**obj}
    for step in steps:
        if step is not None:
            found = step(found) or found
    found["apiVersion"], found["kind"] = group_version(target.kind.group, target.kind.version), target.kind.kind
    return found


def _steps(
    definition: ResourceDefinition, source: MatchedResource, target: MatchedResource
) -> Sequence[Callable[[Object], Object] | None]:
    written, read = sharing(definition, source), sharing(definition, target)
    return written.versions[source.resource.version].to_storage, read.versions[target.resource.version].from_storage


def sharing(definition: ResourceDefinition, matched: MatchedResource) -> ResourceDefinition:
    """The type of a matched resource: `definition`, or one that shares its storage."""
    if definition.group_resource == (matched.resource.group, matched.resource.resource):
        return definition
    return next(
        each
        for each in BUILTINS
        if each.storage_key == definition.storage_key
        and each.group_resource == (matched.resource.group, matched.resource.resource)
    )
