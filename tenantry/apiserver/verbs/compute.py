"""Computes the changes of a write: the steps from a decoded object to what is committed (`write.Steps`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from tenantry.apiserver import records
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review, SubresourceForm
from tenantry.apiserver.user import seen_in
from tenantry.apiserver.verbs import metadata
from tenantry.apiserver.verbs.converted import from_storage, is_converted, to_storage, with_managers
from tenantry.apiserver.verbs.dynamic_admission import Snapshot, ask_mutating, ask_validating, take_changes
from tenantry.apiserver.verbs.managers import record_manager
from tenantry.apiserver.verbs.preconditions import check_version
from tenantry.apiserver.verbs.write import OFF_LOOP, ON_LOOP, Outcome, Part, RecordChanged, Steps, Target
from tenantry.apiserver.worker_threads import weigh
from tenantry.kube.apply.managed_fields import same_but_for_times
from tenantry.kube.codec import json_size, stored
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.metadata_validation import finalizer_warnings, owner_warnings, validate_metadata
from tenantry.kube.objects import Object, is_deleting, timestamp, with_own_containers
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.schema.default import holds_floats
from tenantry.kube.schema.prune import prune
from tenantry.kube.schema.validate import validate
from tenantry.kube.status import StatusError, already_exists, invalid, too_many_values
from tenantry.storage.keys import Key
from tenantry.storage.record import Change, Record


def create_outcome(target: Target, obj: Object, record: Record | None, *, applied: bool = False, managed: bool = False) -> Steps:
    """Creates `obj`, which is changed on the way. `record` is the record that has the key already, if any. `applied`: it is an
    apply. `managed`: managedFields are set already, as they are by an apply."""
    definition, shape = target.definition, target.shape
    version = obj["metadata"].pop("resourceVersion", None)
    now = timestamp()
    metadata.remove_cluster(obj)
    metadata.drop_deletion(obj)
    if not (applied or managed):
        record_manager(target, obj, None, now)
    review = _review(target, CREATE, obj, None)
    if not target.named:
        review.named, review.as_sent = False, {"name": None}
    apart = yield from _mutated(target, review)
    in_thread = yield OFF_LOOP
    review.named, review.as_sent = True, {}
    target.warnings += owner_warnings(obj)
    metadata.drop_repeated_owners(obj)
    metadata.begin(obj, now, tracks_generation=definition.strategy.tracks_generation)
    definition.strategy.prepare_for_create(obj)
    if definition.strategy.notes_requester:
        definition.strategy.note_requester(obj, seen_in(target.user, target.cluster).to_user_info())
    review.name = obj["metadata"].get("name", "")
    _validate(target, obj, None, at_once=not in_thread)
    if definition.custom:
        target.warnings += finalizer_warnings(obj)
    if definition.strategy.refuses:
        review.findings = definition.strategy.findings(obj)
    target.warnings += definition.strategy.warnings(obj, None)
    decided = yield from _decide(target, review, apart, obj)
    if version and not applied and version.isdecimal() and version.strip("0"):
        raise StatusError(500, "", "resourceVersion should not be set on objects to be created")
    if review.name != target.name:
        # Dynamic admission has renamed it.
        found = target.scope.cell.range_of(target.cluster).get(replace(target, name=review.name).key)
        record = found
    if record is not None:
        raise already_exists(target.group_resource, record.key.name, deleting=record.head.deleting)
    key = Key(target.cluster, definition.storage_key, target.namespace, review.name)
    metadata.set_cluster(obj, target.cluster)
    if target.dry_run:
        return Outcome(obj=decided.answer or obj, created=True)
    change = _change(target, shape, key, obj, None, decided)
    return Outcome(changes=[change, *review.changes], created=True)


def update_outcome(
    target: Target,
    obj: Object,
    old: Object,
    record: Record,
    *,
    applied: bool = False,
    prepared: bool = False,
    checked: bool = True,
    counts: bool = False,
    form: SubresourceForm | None = None,
    sent: Mapping[str, Any] | None = None,
) -> Steps:
    """Replaces `record` by `obj`, which is changed on the way. `old` is the record's object in the target's version.

    `applied`: managedFields are set already. `prepared`: what the client may not change is restored already
    (`Strategy.prepare_for_update`). `checked`: the precondition resourceVersion is checked already. `counts`: it is another
    generation, even if the objects are equal. `form` and `sent`: the
    subresource of another kind that is written, and the metadata of the object that was sent.
    """
    strategy = target.definition.strategy
    now = timestamp()
    version = obj["metadata"].get("resourceVersion")
    sent = metadata.filled_in(obj if sent is None else {"metadata": sent}, old)
    for each in (obj, old):
        metadata.remove_cluster(each)
        each["metadata"].pop("resourceVersion", None)
    metadata.carry_over(obj, old)
    if not applied:
        yield from with_managers(target, old, lambda others: record_manager(target, obj, old, now, others))
    review = _review(target, UPDATE, obj, old)
    review.form, review.as_sent, review.version_sent = form, sent, version
    review.old_version = str(record.version)
    review.weight += weigh(record.value)
    apart = yield from _mutated(target, review)
    if not checked:
        check_version(target, review.version_sent, record, unconditional=form is not None or strategy.unconditional_update)
    in_thread = yield OFF_LOOP
    review.as_sent, review.version_sent = {}, review.old_version
    target.warnings += owner_warnings(obj)
    metadata.drop_repeated_owners(obj)
    if not prepared:
        strategy.prepare_for_update(obj, old, target.subresource)
    metadata.carry_over(obj, old)
    if strategy.tracks_generation and (
        (counts and not target.subresource)
        or _changed(obj, old, target.shape)
        or (not target.subresource and strategy.counts(obj, old))
    ):
        obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    _validate(target, obj, old, at_once=not in_thread)
    if target.definition.custom:
        target.warnings += finalizer_warnings(obj, old)
    target.warnings += strategy.warnings(obj, old)
    gone = is_deleting(obj) and not obj["metadata"].get("finalizers") and not strategy.holds(obj)
    same = not gone and same_but_for_times(obj, old)
    decided = yield from _decide(target, review, apart, None if gone else old if same else obj)
    if same and not review.changes and _stays(target, record, decided):
        return Outcome(record=record)
    metadata.set_cluster(obj, target.cluster)
    if target.dry_run or gone:
        obj["metadata"]["resourceVersion"] = str(record.version)
        if target.dry_run:
            answer = decided.answer or obj
            answer["metadata"]["resourceVersion"] = str(record.version)
            return Outcome(obj=answer)
        return Outcome(changes=[delete_change(target, record), *review.changes], obj=obj, deleted=True)
    return Outcome(changes=[_change(target, target.shape, record.key, obj, record, decided), *review.changes])


def delete_change(target: Target, record: Record) -> Change:
    """The change that removes a record."""
    catalog = target.scope.catalog(target.definition, record.key, None)
    return Change(record.key, None, None, record, catalog)


def store_change(target: Target, record: Record, obj: Object, stored: Object | None = None) -> Change:
    """The change that replaces `record` by `obj`, which is complete and in the target's version. `stored`: the object in the
    storage version, where a webhook has converted it."""
    return _change(target, target.shape, record.key, obj, record, Decided(stored=stored))


def _review(target: Target, operation: str, obj: Object | None, old: Object | None) -> Review:
    return Review(
        operation=operation,
        scope=target.scope,
        definition=target.definition,
        version=target.shape,
        cluster=target.cluster,
        namespace=target.namespace,
        name=target.name or (obj or {}).get("metadata", {}).get("name", ""),
        subresource=target.subresource,
        user=target.user,
        object=obj,
        old_object=old,
        dry_run=target.dry_run,
        warnings=target.warnings,
        options=target.options,
        audit_annotations=target.audit_annotations,
        weight=target.weight,
    )


def _mutated(target: Target, review: Review) -> Part[bool]:
    """Mutating admission: plugins, then dynamic admission. Returns whether other code may have run since it began."""
    admission = target.scope.admission
    apart = yield ON_LOOP
    yield from _mutated_by_plugins(target, review)
    dynamic = admission.configured.mutating(review)
    if dynamic:
        managed = review.object["metadata"].get("managedFields") if review.object is not None else None
        if (yield from ask_mutating(admission, review, dynamic, lambda: _mutated_by_plugins(target, review))):
            apart = True
            take_changes(review, managed)
    return bool(apart)


class Decided(NamedTuple):
    """What is known of the object that is to be stored. `rest`: without its metadata, for `stored.encode`. `stored`: in the
    storage version, and `answer`: that one in the version of the request, for dry runs, where a webhook has converted it."""

    rest: bytes | None = None
    stored: Object | None = None
    answer: Object | None = None


def _decide(target: Target, review: Review, apart: bool, result: Object | None) -> Part[Decided]:
    """The last part of a write begins here, on the loop: what is decided now is still true when the write is submitted.

    If other code has run since the mutating plugins (`apart`), or runs while dynamic admission is asked, they are called again:
    they read memory, which may have changed, and may refuse. Their earlier changes are in the object. If one changes something
    now, memory has changed and the write starts again. `result`: the object to be stored, which a webhook may have to convert;
    None: there is none. Raises RecordChanged.
    """
    obj = review.object
    assert obj is not None
    admission = target.scope.admission
    rest: bytes | None = None
    before: Snapshot | None = None
    if apart:
        rest, before = _stored_rest(target, obj), Snapshot(obj, light=False)
        yield ON_LOOP
        _look_again(target, review, before)
    else:
        yield ON_LOOP
    admission.check(review)
    asked: Snapshot | None = None
    dynamic = admission.configured.validating(review)
    if dynamic:
        asked = yield from ask_validating(dynamic, review, before)
    in_storage = answer = None
    if result is not None and is_converted(target):
        asked = asked or before or Snapshot(obj, light=False)
        in_storage = yield from to_storage(target, result, review)
        answer = (yield from from_storage(target, in_storage)) if target.dry_run else None
    if asked is not None:
        _look_again(target, review, asked)
        warned = len(target.warnings)
        review.changes.clear()
        admission.check(review)
        del target.warnings[warned:]
    admission.charge(review)
    return Decided(rest, in_storage, answer)


def _stays(target: Target, record: Record, decided: Decided) -> bool:
    """Whether an object without a change is stored as it would be written now. It is not where it is in another version,
    or where its webhook makes something else of it than before (upstream compares what is stored)."""
    definition = target.definition
    if decided.stored is not None:
        return _change(target, target.shape, record.key, decided.stored, record, decided).value == record.value
    return not definition.custom or records.written_in(record, definition) == definition.storage_version


def _look_again(target: Target, review: Review, before: Snapshot) -> None:
    """Calls the mutating plugins again. `before`: the object that they should make no change to."""
    warned = len(target.warnings)
    target.scope.admission.mutate(review)
    del target.warnings[warned:]
    if not before.is_still(review.object):
        raise RecordChanged


def _mutated_by_plugins(target: Target, review: Review) -> Part[None]:
    """The mutating plugins run before schema validation, so one may fail on a value of a wrong type. Validation refuses that
    value. If it does not, the plugin is to fail as it did."""
    try:
        target.scope.admission.mutate(review)
    except (AttributeError, KeyError, TypeError):
        in_thread = yield OFF_LOOP
        assert review.object is not None
        _validate(target, review.object, review.old_object, at_once=not in_thread)
        yield ON_LOOP
        target.scope.admission.mutate(review)


def _validate(target: Target, obj: Object, old: Object | None, *, at_once: bool = False) -> None:
    definition = target.definition
    strategy = definition.strategy
    if at_once and strategy.may_take_long and strategy.takes_long(obj, old):
        raise LoopBudgetExceeded
    if definition.custom:
        metadata.check_type(obj, definition, target.api_version)
    errors = validate_metadata(obj, old, definition)
    if old is not None and definition.custom:
        # Upstream validates the metadata of custom resources twice, in general and for the type: each cause comes twice.
        errors = errors * 2
    if definition.message is None:
        schema = target.shape.schema
        errors += (
            validate(obj, schema, warnings=target.warnings, at_once=at_once)
            if old is None
            else validate(obj, schema, old=old, warnings=target.warnings, at_once=at_once)
        )
    errors += strategy.validate(obj, old, target.subresource)
    if errors:
        # Errors of a type that is stored as another one have the name of that one (events).
        group = (definition.storage_group_resource or definition.group_resource).group
        raise invalid(group, definition.kind, obj["metadata"].get("name", ""), errors)


def _changed(obj: Object, old: Object, shape: Version) -> bool:
    """Whether anything except metadata differs. The status does not count where it is a subresource."""
    apart = ("metadata", "status") if "status" in shape.subresources else ("metadata",)
    names = {*obj, *old}.difference(apart)
    return any(obj.get(name) != old.get(name) for name in names)


def _stored_rest(target: Target, obj: Object) -> bytes:
    """What is stored of an object beside its metadata, where no conversion follows. The object is not changed."""
    definition, shape = target.definition, target.shape
    if _is_pruned_again(definition, shape):
        obj = with_own_containers(obj)
        prune(obj, definition.versions[definition.storage_version].schema)
    return stored.encode_rest(obj, floats=_may_hold_floats(definition, shape))


def _is_pruned_again(definition: ResourceDefinition, shape: Version) -> bool:
    """Whether an object is stored in another version than it was written in, and without a conversion. Upstream changes only the
    apiVersion then, and prunes by the version that is stored."""
    return (
        definition.custom
        and shape.name != definition.storage_version
        and shape.to_storage is None
        and definition.conversion is None
    )


def _may_hold_floats(definition: ResourceDefinition, shape: Version) -> bool:
    return definition.custom and holds_floats(shape.schema)


def _change(target: Target, shape: Version, key: Key, obj: Object, record: Record | None, decided: Decided) -> Change:
    """The change of a write."""
    definition, rest = target.definition, decided.rest
    if decided.stored is not None:
        obj, rest = decided.stored, None
        shape = definition.versions[definition.storage_version]
    elif shape.to_storage is not None:
        obj, rest = shape.to_storage(obj) or obj, None
    elif rest is None and _is_pruned_again(definition, shape):
        prune(obj, definition.versions[definition.storage_version].schema)
    catalog = target.scope.catalog(definition, key, obj)
    # A webhook's object has no defaults of the storage version yet.
    normalised = target.version == definition.storage_version
    head = records.head_of(obj, definition, normalised=normalised)
    mark = stored.version_mark(definition) if definition.custom else ""
    value = stored.encode(obj, rest, floats=_may_hold_floats(definition, shape), mark=mark)
    if json_size.has_too_many(value):
        raise too_many_values(json_size.MAX_VALUES)
    return Change(key, value, head, record, catalog)
