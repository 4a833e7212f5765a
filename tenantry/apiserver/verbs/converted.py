"""The parts of a write in which a webhook converts: what is stored into the version of the request, and what is written into the
version that is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import TypeVar

from tenantry.apiserver import records
from tenantry.apiserver.admission.dynamic import Ask, metadata_before
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.conversion.converter import Shown
from tenantry.apiserver.verbs.metadata import set_cluster
from tenantry.apiserver.verbs.write import OFF_LOOP, Part, Target
from tenantry.kube.apply.other_versions import NotConverted, OtherVersions
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.kube.types import BUILTINS
from tenantry.storage.record import Record

T = TypeVar("T")


def reader(target: Target, record: Record) -> Part[Callable[[], Object]]:
    """What makes copies of the record's object in the target's version."""
    definition, version = target.definition, target.version
    if definition.conversion is None:
        return lambda: records.decode(record, definition, version)
    shown = Shown(definition, (record,))
    if records.written_in(record, definition) != version or version != definition.storage_version:

        async def convert(deadline: float) -> None:
            nonlocal shown
            shown = await target.scope.converter.shown((record,), definition, version)

        yield Ask(convert)
        yield OFF_LOOP
    return lambda: records.decode(shown.records[0], shown.definition, version)


def is_converted(target: Target) -> bool:
    """Whether a webhook converts what is written."""
    return target.definition.conversion is not None and target.version != target.definition.storage_version


def to_storage(target: Target, obj: Object, review: Review) -> Part[Object]:
    """The object as it is stored, where that is another version (`is_converted`). On the loop, before and after. `obj` is not
    changed. A webhook of a tenant does not write what dynamic admission may not write (`review`: of this write)."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "resourceVersion"}
    sent: Object = {**obj, "metadata": metadata}
    set_cluster(sent, target.cluster)
    made = yield from _converted(target, sent, target.definition.storage_version)
    whole = copy(review)
    whole.object = made
    target.scope.admission.restore(whole, metadata_before(sent))
    return made


def from_storage(target: Target, stored: Object) -> Part[Object]:
    """What `to_storage` has made of an object, as a reader would see it: the answer to a dry run (upstream)."""
    return (yield from _converted(target, stored, target.version))


def _converted(target: Target, obj: Object, version: str) -> Part[Object]:
    made = obj

    async def convert(deadline: float) -> None:
        nonlocal made
        converter, definition = target.scope.converter, target.definition
        made = await converter.object(obj, definition, version, owner=target.cluster, deadline=deadline)

    yield Ask(convert)
    return made


def with_managers(target: Target, old: Object | None, compute: Callable[[OtherVersions | None], T]) -> Part[T]:
    """What `compute` makes of the managers of `old`, which is in the target's version. Where they wrote in other versions, with
    other fields, it is called again for each object that it needs in another version."""
    definition = target.definition
    others: OtherVersions | None = None
    forms: Mapping[str, Version] = {}
    if old is not None and _has_other_managers(target, old) and (forms := _forms(definition)):
        others = OtherVersions(definition.kind, {version: shape.schema for version, shape in forms.items()})
    while True:
        try:
            return compute(others)
        except NotConverted as raised:
            needed = raised
        assert others is not None
        if definition.conversion is None:
            others.put(needed, _converted_by_functions(forms, needed))
            continue
        made: Object | str = ""

        async def convert(deadline: float, needed: NotConverted = needed) -> None:
            nonlocal made
            converter, obj = target.scope.converter, needed.obj
            try:
                # By the storage version, as upstream.
                for version in (definition.storage_version, needed.target.rpartition("/")[2]):
                    obj = await converter.object(obj, definition, version, owner=target.cluster, deadline=deadline, whole=True)
                made = obj
            except StatusError as error:
                made = error.message

        yield Ask(convert)
        others.put(needed, made)
        yield OFF_LOOP


def _forms(definition: ResourceDefinition) -> Mapping[str, Version]:
    """The apiVersions that objects of the type are in, also of a type that shares their storage. None where these have the same
    fields: then managers of one know those of another."""
    found: tuple[ResourceDefinition, ...]
    if definition.custom:
        found = (definition,) if definition.conversion is not None else ()
    else:
        sharing = (each for each in BUILTINS if each.storage_key == definition.storage_key)
        found = (definition, *(each for each in sharing if each.group != definition.group))
    forms = {each.api_version(name): shape for each in found for name, shape in each.versions.items()}
    differ = definition.custom or any(shape.from_storage is not None for shape in forms.values())
    return forms if differ else {}


def _converted_by_functions(forms: Mapping[str, Version], needed: NotConverted) -> Object:
    """The object that is needed, of a built-in type."""
    obj: Object = records.copy(needed.obj)
    for step in (forms[obj["apiVersion"]].to_storage, forms[needed.target].from_storage):
        if step is not None:
            obj = step(obj) or obj
    return {**obj, "apiVersion": needed.target}


def _has_other_managers(target: Target, old: Object) -> bool:
    entries = old["metadata"].get("managedFields") or ()
    return any(entry.get("apiVersion") != target.api_version for entry in entries)
