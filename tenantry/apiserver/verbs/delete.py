"""delete: DELETE of one object. It is removed at once, or marked as deleted until its finalizers are done."""

from __future__ import annotations

from collections.abc import Sequence

from tenantry.apiserver import records
from tenantry.apiserver.admission.review import DELETE, Review
from tenantry.apiserver.body_decoding import BODY_LIMIT_BYTES
from tenantry.apiserver.conversion.errors import reading
from tenantry.apiserver.negotiation import JSON, TABLE, Representation, encode
from tenantry.apiserver.scope import Call
from tenantry.apiserver.storage_errors import to_status
from tenantry.apiserver.verbs.compute import delete_change, store_change
from tenantry.apiserver.verbs.converted import is_converted, reader, to_storage
from tenantry.apiserver.verbs.create import target_of
from tenantry.apiserver.verbs.dynamic_admission import ask_mutating, ask_validating
from tenantry.apiserver.verbs.options import FOREGROUND, ORPHAN, DeleteOptions, WriteOptions, delete_options
from tenantry.apiserver.verbs.respond import outcome_response, representation_of
from tenantry.apiserver.verbs.translated import told
from tenantry.apiserver.verbs.write import ON_LOOP, Outcome, Part, Steps, Target, run
from tenantry.apiserver.worker_threads import weigh
from tenantry.http.messages import Reply, Response
from tenantry.kube import finalizers
from tenantry.kube.objects import GroupResource, Object, finalizers_of, is_deleting, timestamp
from tenantry.kube.status import StatusError, conflict, not_found
from tenantry.storage.cell import NotOwned
from tenantry.storage.record import Record, RecordEvent


async def delete(call: Call) -> Reply:
    """200 with a Status. 200 with the object where it stays for its finalizers, or where its type always returns the object.
    Raises StatusError."""
    representation = representation_of(call)
    options = await delete_options(call.request, BODY_LIMIT_BYTES)
    target = target_of(call, WriteOptions(dry_run=options.dry_run))
    target.manager = ""
    if not call.definition.strategy.returns_deleted:
        outcome = await delete_object(target, options)
        if outcome.deleted:
            return _success(call, representation, outcome)
    else:
        outcome = await _delete_and_show(target, options)
    return await outcome_response(call, representation, outcome)


async def _delete_and_show(target: Target, options: DeleteOptions) -> Outcome:
    """As `delete_object`. An object that is gone has the resourceVersion of its deletion."""
    key, versions = target.key, list[int]()

    def look(events: Sequence[RecordEvent]) -> None:
        versions.extend(event.version for event in events if event.record is None and event.key == key)

    try:
        stop = target.scope.cell.range_of(target.cluster).subscribe(look, key.resource, key.cluster)
    except NotOwned as error:
        raise to_status(error) from error
    try:
        outcome = await delete_object(target, options)
    finally:
        stop()
    if outcome.deleted and outcome.obj is not None and versions:
        outcome.obj["metadata"]["resourceVersion"] = str(versions[-1])
    return outcome


async def delete_object(target: Target, options: DeleteOptions) -> Outcome:
    """Deletes the target's object or marks it as deleted. The outcome has its last state. Raises StatusError."""
    if target.translation is not None:
        translation = target.translation
        stored_as = target.as_stored
        return await run(target, lambda record: told(stored_as, translation, delete_outcome(stored_as, options, record)))
    return await run(target, lambda record: delete_outcome(target, options, record))


def delete_outcome(target: Target, options: DeleteOptions, record: Record | None) -> Steps:
    """The outcome of deleting a record. Raises StatusError."""
    if record is None:
        raise not_found(target.group_resource, target.name)
    if options.unreadable:
        raise _is_readable(target)
    _check_preconditions(target, options, record)
    definition = target.definition
    with reading():
        obj = (yield from reader(target, record))()
    definition.strategy.validate_delete(obj)
    review = Review(
        operation=DELETE,
        scope=target.scope,
        definition=definition,
        version=target.shape,
        cluster=target.cluster,
        namespace=target.namespace,
        name=target.name,
        subresource="",
        user=target.user,
        object=None,
        old_object=obj,
        dry_run=target.dry_run,
        warnings=target.warnings,
        options=options.sent,
        named=target.named,
        old_version=str(record.version),
        audit_annotations=target.audit_annotations,
        weight=weigh(record.value),
    )
    wanted, held_by_type = _finalizers(obj, options, definition.strategy.propagation), definition.strategy.holds(obj)
    gone = not wanted and not held_by_type
    same = not gone and is_deleting(obj) and wanted == finalizers_of(obj)
    if not gone and not same:
        marked = records.copy(obj)
        _mark(marked, wanted, held_by_type=held_by_type)
        definition.strategy.begin_deletion(marked)
    yield ON_LOOP
    admission = target.scope.admission
    admission.mutate(review)
    mutating = admission.configured.mutating(review)
    asked = bool(mutating) and (yield from ask_mutating(admission, review, mutating, _nothing))
    admission.check(review)
    validating = admission.configured.validating(review)
    asked = (bool(validating) and (yield from ask_validating(validating, review)) is not None) or asked
    in_storage: Object | None = None
    if not gone and not same and is_converted(target):
        in_storage = yield from to_storage(target, marked, review)
        asked = True
    if asked:
        review.changes.clear()
        admission.mutate(review)
        admission.check(review)
    admission.charge(review)
    if gone:
        if definition.strategy.marks_deleted:
            _mark(obj, wanted, held_by_type=False)
        if target.dry_run:
            return Outcome(obj=obj, deleted=True)
        return Outcome(changes=[delete_change(target, record), *review.changes], obj=obj, deleted=True)
    if same:
        return Outcome(record=record)
    if target.dry_run:
        return Outcome(obj=marked)
    return Outcome(changes=[store_change(target, record, marked, in_storage), *review.changes])


def _nothing() -> Part[None]:
    """There is no object that plugins could change again."""
    yield from ()


def _is_readable(target: Target) -> StatusError:
    """409 for the deletion of what cannot be read. What is in memory has been read."""
    group, resource = target.group_resource
    key = "/".join(part for part in ("/registry", group, resource, target.namespace, target.name) if part)
    why = "unsafe deletion is not allowed because the object is decodable from storage"
    detail = f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {why}"
    return conflict(target.group_resource, target.name, detail)


def _check_preconditions(target: Target, options: DeleteOptions, record: Record) -> None:
    # Upstream has the Kind in place of the resource in these two errors.
    stored_as = target.definition.storage_group_resource or target.definition.group_resource
    what = GroupResource(stored_as.group, target.definition.kind)
    if options.uid is not None and options.uid != record.head.uid:
        raise conflict(
            what,
            target.name,
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({record.head.uid}). "
            "The object might have been deleted and then recreated",
        )
    version = options.resource_version
    if version is not None and version != str(record.version):
        raise conflict(
            what,
            target.name,
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({record.version}). The object might have been modified",
        )


def _finalizers(obj: Object, options: DeleteOptions, default: str) -> list[str]:
    """The finalizers according to the propagation policy: what the garbage collector has to do before the object is removed.
    `default`: the policy of the type."""
    existing = finalizers_of(obj)
    if options.orphan_dependents is not None:
        orphan, foreground = options.orphan_dependents, False
    elif options.propagation:
        orphan, foreground = options.propagation == ORPHAN, options.propagation == FOREGROUND
    else:
        foreground = finalizers.FOREGROUND in existing
        orphan = finalizers.ORPHAN in existing or (default == ORPHAN and not foreground)
    kept = [name for name in existing if name not in (finalizers.ORPHAN, finalizers.FOREGROUND)]
    if orphan:
        kept.append(finalizers.ORPHAN)
    if foreground:
        kept.append(finalizers.FOREGROUND)
    return existing if set(kept) == set(existing) else kept


def _mark(obj: Object, wanted: list[str], *, held_by_type: bool) -> None:
    metadata = obj["metadata"]
    if wanted:
        metadata["finalizers"] = wanted
    else:
        metadata.pop("finalizers", None)
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = timestamp()
        if not held_by_type:
            metadata["deletionGracePeriodSeconds"] = 0
        if metadata.get("generation"):
            metadata["generation"] += 1


def _success(call: Call, representation: Representation, outcome: Outcome) -> Response:
    assert outcome.obj is not None
    metadata = outcome.obj["metadata"]
    details: Object = {"name": metadata.get("name", "")}
    if call.definition.group:
        details["group"] = call.definition.group
    details |= {"kind": call.definition.plural, "uid": metadata.get("uid", "")}
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    media_type = JSON if representation.transformation == TABLE else representation.media_type
    return Response(200, encode(status, media_type), media_type, warnings=call.warnings)
