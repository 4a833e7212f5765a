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
from tenantry.apiserver.verbs.compute import create_outcome, update_outcome
from tenantry.apiserver.verbs.managers import record_manager
from tenantry.apiserver.verbs.write import OFF_LOOP, ON_LOOP, Steps, Target
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.status import StatusError
from tenantry.storage.record import Record

_OF_THE_CLIENT = ("name", "namespace", "generateName", "managedFields")
"""The metadata that the view cannot change."""


def picture(target: Target, translation: Translation, record: Record) -> Generator[bool, bool | None, Object]:
    """The object of a record as the client sees it, a new copy."""
    obj = records.decode(record, target.definition, target.version)
    return (yield from _shown(translation, obj))


def managed_picture(target: Target, translation: Translation, record: Record) -> Generator[bool, bool | None, Object]:
    """The same with managedFields, also where the view hides them."""
    obj = records.decode(record, target.definition, target.version)
    managed = obj["metadata"].get("managedFields")
    made = yield from _shown(translation, obj)
    _set_managers(made, translation.managers_shown(managed))
    return made


def _shown(translation: Translation, obj: Object) -> Generator[bool, bool | None, Object]:
    if translation.in_threads:
        return translation.shown(obj)
    # Methods of views run on the loop, and heavy writes in threads.
    yield ON_LOOP
    made = translation.shown(obj)
    yield OFF_LOOP
    return made


def translated_create(
    target: Target, translation: Translation, obj: Object, record: Record | None, *, applied: bool = False
) -> Steps:
    """Creates `obj`, which is what the client sees and is changed on the way. For the rest see `create_outcome`."""
    version = obj["metadata"].pop("resourceVersion", None)
    metadata.remove_cluster(obj)
    metadata.drop_deletion(obj)
    if not applied:
        translation.check(obj)
        record_manager(target, obj, None, timestamp())
    if "status" in target.shape.subresources:
        obj.pop("status", None)
    made = yield from _stored(target, translation, obj, None)
    if version is not None:
        made["metadata"]["resourceVersion"] = version
    stored_as = target.as_stored
    return (yield from told(stored_as, translation, create_outcome(stored_as, made, record, applied=applied, managed=True)))


def translated_update(target: Target, translation: Translation, obj: Object, record: Record, *, applied: bool = False) -> Steps:
    """Replaces `record` by what the view makes of `obj`, which is what the client sees and is changed on the way. For the rest
    see `update_outcome`."""
    before = yield from managed_picture(target, translation, record)
    for each in (obj, before):
        metadata.remove_cluster(each)
        each["metadata"].pop("resourceVersion", None)
    metadata.carry_over(obj, before)
    if not applied:
        translation.check(obj)
        record_manager(target, obj, before, timestamp())
    target.definition.strategy.prepare_for_update(obj, before, target.subresource)
    made = yield from _stored(target, translation, obj, record)
    stored_as = target.as_stored
    old = records.decode(record, stored_as.definition, target.version)
    return (yield from told(stored_as, translation, update_outcome(stored_as, made, old, record, applied=True, prepared=True)))


def told(target: Target, translation: Translation, steps: Steps) -> Steps:
    """The same steps, which work on what is stored. Their refusals and warnings are told as the view does."""
    warned = len(target.warnings)
    try:
        return (yield from steps)
    except StatusError as error:
        raise translation.refusal(error) from None
    finally:
        target.warnings[warned:] = translation.warnings(target.warnings[warned:])


def _stored(target: Target, translation: Translation, obj: Object, record: Record | None) -> Generator[bool, bool | None, Object]:
    """What the view stores for `obj`, in the form in which objects are stored."""
    if target.definition.custom:
        metadata.check_type(obj, target.definition, target.api_version)
    stored_as = target.as_stored
    definition = stored_as.definition
    own = {name: obj["metadata"][name] for name in _OF_THE_CLIENT if name in obj["metadata"]}
    old = records.decode(record, definition, target.version) if record is not None else None
    managed = old["metadata"].get("managedFields") if old is not None else None
    if translation.in_threads:
        made = translation.stored(obj, old)
    else:
        yield ON_LOOP
        made = translation.stored(obj, old)
        yield OFF_LOOP
    kept = {name: value for name, value in made.get("metadata", {}).items() if name not in _OF_THE_CLIENT}
    made["metadata"] = {**kept, **own}
    _set_managers(made, translation.managers_stored(own.get("managedFields"), managed))
    made["apiVersion"], made["kind"] = target.api_version, definition.kind
    normalise(definition, stored_as.shape, made, record)
    return made


def _set_managers(obj: Object, entries: list[Object] | None) -> None:
    if entries is not None:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)
