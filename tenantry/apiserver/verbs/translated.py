"""Writes in a view that shows objects in another form than they are stored in.

The client works on what it sees. Patches, preconditions, the manager of fields and the limits of a subresource apply to that
form, so managedFields name its fields. The view then makes the object to be stored, and admission, validation and the commit work
on that one as in other writes.
"""

from __future__ import annotations

from collections.abc import Generator

from tenantry.apiserver import records
from tenantry.apiserver.decoding import normalise
from tenantry.apiserver.scope import Translation
from tenantry.apiserver.verbs import metadata
from tenantry.apiserver.verbs.compute import create_outcome, record_manager, update_outcome
from tenantry.apiserver.verbs.write import OFF_LOOP, ON_LOOP, Steps, Target
from tenantry.kube.objects import Object, timestamp
from tenantry.storage.record import Record

_OF_THE_CLIENT = ("name", "namespace", "generateName", "managedFields")
"""The metadata that the view cannot change."""


def shown(target: Target, translation: Translation, record: Record) -> Generator[bool, bool | None, Object]:
    """The object of a record as the client sees it, a new copy. It has the stored managedFields, which a view may hide."""
    obj = records.decode(record, target.definition, target.version)
    managed = obj["metadata"].get("managedFields")
    # Methods of views run on the loop, and heavy writes in threads.
    yield ON_LOOP
    picture = translation.shown(obj)
    yield OFF_LOOP
    if managed is not None:
        picture["metadata"]["managedFields"] = managed
    return picture


def translated_create(
    target: Target, translation: Translation, obj: Object, record: Record | None, *, applied: bool = False
) -> Steps:
    """Creates `obj`, which is what the client sees and is changed on the way. For the rest see `create_outcome`."""
    version = obj["metadata"].pop("resourceVersion", None)
    metadata.remove_cluster(obj)
    metadata.drop_deletion(obj)
    if not applied:
        record_manager(target, obj, None, timestamp())
    if "status" in target.shape.subresources:
        obj.pop("status", None)
    made = yield from _stored(target, translation, obj, None)
    if version is not None:
        made["metadata"]["resourceVersion"] = version
    return (yield from create_outcome(target, made, record, applied=applied, managed=True))


def translated_update(target: Target, translation: Translation, obj: Object, record: Record, *, applied: bool = False) -> Steps:
    """Replaces `record` by what the view makes of `obj`, which is what the client sees and is changed on the way. For the rest
    see `update_outcome`."""
    before = yield from shown(target, translation, record)
    for each in (obj, before):
        metadata.remove_cluster(each)
        each["metadata"].pop("resourceVersion", None)
    metadata.carry_over(obj, before)
    if not applied:
        record_manager(target, obj, before, timestamp())
    target.definition.strategy.prepare_for_update(obj, before, target.subresource)
    made = yield from _stored(target, translation, obj, record)
    old = records.decode(record, target.definition, target.version)
    return (yield from update_outcome(target, made, old, record, applied=True, prepared=True))


def _stored(target: Target, translation: Translation, obj: Object, record: Record | None) -> Generator[bool, bool | None, Object]:
    """What the view stores for `obj`, in the form in which objects are stored."""
    definition = target.definition
    own = {name: obj["metadata"][name] for name in _OF_THE_CLIENT if name in obj["metadata"]}
    old = records.decode(record, definition, target.version) if record is not None else None
    yield ON_LOOP
    made = translation.stored(obj, old)
    yield OFF_LOOP
    kept = {name: value for name, value in made.get("metadata", {}).items() if name not in _OF_THE_CLIENT}
    made["metadata"] = {**kept, **own}
    made["apiVersion"], made["kind"] = target.api_version, definition.kind
    normalise(definition, target.shape, made, record)
    return made
