"""The one way to write objects: read memory, compute, commit. Start again where another writer was faster.

    wait    → record ─► compute (mutating admission, strategy, validation, validating admission) ─► commit ─┬─► outcome
       ▲                                                                                                    │
       └──────────────────────────────── Stale ─────────────────────────────────────────────────────────────┘

A computation is a generator. It yields `ON_LOOP` before it calls admission, which reads memory, and `OFF_LOOP` before it works
only on values. A light write runs all of it at once, so that nothing can happen between reading the record and submitting the
change. A heavy write runs the parts that work on values in a thread. Before each part on the loop it checks that the record is
still the same, and the last part decides and submits without an await, like a light write. Verbs and controllers differ only in
how they compute the new object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from tenantry.apiserver import records
from tenantry.apiserver.admission.attributes import CREATE, UPDATE, Review
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.storage_errors import require_readable, to_status
from tenantry.apiserver.user import User
from tenantry.apiserver.verbs import metadata
from tenantry.apiserver.verbs.options import unsigned
from tenantry.apiserver.work import is_light, weigh, workers
from tenantry.kube.apply.managed_fields import ResetFields, record_update, same_but_for_times
from tenantry.kube.codec import json_size, stored
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.metadata_validation import metadata_warnings, validate_metadata
from tenantry.kube.objects import GroupResource, Object, group_version, is_deleting, timestamp, with_own_containers
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.schema.validate import validate
from tenantry.kube.status import FieldError, StatusError, already_exists, conflict, forbidden, invalid, too_many_values
from tenantry.storage.cell import NotOwned, Stale
from tenantry.storage.keys import Key
from tenantry.storage.record import Change, Record
from tenantry.storage.store import StoreError

ATTEMPTS = 100
"""How often a write is computed before the client gets a conflict. Writers of one key take turns, so a second attempt is needed
only after a change of something else in the transaction (a quota)."""
HEAVY_ATTEMPTS = 8
"""The same for a heavy write, which may take longer than the time between two changes of its object."""

ON_LOOP, OFF_LOOP = True, False


@dataclass(slots=True, eq=False, kw_only=True)
class Target:
    """The object to write, by which user and how. `user` is the user for admission. `visible` says whether a record is visible in
    the scope. `manager` empty: this write does not change managedFields."""

    scope: Scope
    definition: ResourceDefinition
    version: str
    cluster: str
    namespace: str
    name: str
    user: User
    subresource: str = ""
    manager: str = ""
    dry_run: bool = False
    visible: Callable[[Record], bool] | None = None
    warnings: list[str] = field(default_factory=list)
    weight: int = 0
    """Weight of the request's body, in the unit of `work.weigh`."""

    @property
    def shape(self) -> Version:
        return self.definition.versions[self.version]

    @property
    def api_version(self) -> str:
        return self.definition.api_version(self.version)

    @property
    def group_resource(self) -> GroupResource:
        return self.definition.group_resource

    @property
    def key(self) -> Key:
        return Key(self.cluster, self.definition.storage_key, self.namespace, self.name)


@dataclass(slots=True, eq=False, kw_only=True)
class Outcome:
    """The result of a write. `changes` are to be committed, the object's own first. The object is in `record` where it is stored
    as answered, else in `obj` (dry runs, removed objects)."""

    changes: list[Change] = field(default_factory=list)
    record: Record | None = None
    obj: Object | None = None
    created: bool = False
    deleted: bool = False
    weight: int = 0
    """Weight of the computation, in the unit of `work.weigh`."""

    def to_object(self, target: Target) -> Object:
        """The object in the target's version, a new copy."""
        if self.record is not None:
            return records.decode(self.record, target.definition, target.version)
        assert self.obj is not None
        return self.obj


class RecordChanged(Exception):
    """The record in memory is not the one that a computation began with."""


Steps = Generator[bool, bool | None, Outcome]
"""A computation in parts; the first part may run in a thread. Each yield says where the next part runs. It receives whether other
code may have run in between (`apart`). Parts on the loop may raise RecordChanged."""
Compute = Callable[[Record | None], Steps]


async def run(target: Target, compute: Compute) -> Outcome:
    """Computes and commits, and starts again where the commit is Stale. `compute` gets the record as it is in memory, None where
    it does not exist or is not visible. It may be called several times. Raises StatusError: 409 where other writers were faster
    in every attempt."""
    cell = target.scope.cell
    keys = [target.key]
    warned = len(target.warnings)
    in_thread = False
    try:
        for attempt in range(ATTEMPTS):
            del target.warnings[warned:]
            await cell.writes_done(keys)
            record = current_record(target)
            weight = target.weight + (weigh(record.value) if record is not None else 0)
            if not in_thread and is_light(weight):
                try:
                    outcome = _run_at_once(compute(record))
                except LoopBudgetExceeded:
                    # A small object with expensive CEL rules.
                    in_thread = True
                    continue
            elif attempt < HEAVY_ATTEMPTS:
                try:
                    outcome = await _in_parts(target, compute, keys)
                except RecordChanged:
                    continue
            else:
                break
            outcome.weight = weight
            if not outcome.changes:
                return outcome
            _check_cluster_bytes(target, outcome.changes)
            try:
                committed = await cell.commit(outcome.changes)
            except Stale as stale:
                if stale.key not in keys:
                    keys.append(stale.key)
                continue
            if not outcome.deleted:
                outcome.record = committed[0]
            return outcome
    except (StoreError, NotOwned) as error:
        raise to_status(error) from error
    raise conflict(target.group_resource, target.name)


def _check_cluster_bytes(target: Target, changes: Sequence[Change]) -> None:
    """Raises StatusError 403 where the write would exceed the limit for the bytes of a cluster. Writes by the platform, and
    writes that do not add bytes, are allowed: a full workspace can be emptied."""
    cell = target.scope.cell
    limit = cell.cluster_limits.of(target.cluster).size_bytes
    if not limit or target.user.is_master:
        return
    growth = sum(len(c.value or b"") - (len(c.expected.value) if c.expected is not None else 0) for c in changes)
    if growth <= 0:
        return
    _, held = cell.usage(target.cluster)
    if held + growth > limit:
        cell.refused_growth += 1
        why = f"the logical cluster holds {held} bytes, and {growth} more are above {limit} (--max-cluster-bytes)"
        raise forbidden(target.group_resource, target.name, why)


def current_record(target: Target) -> Record | None:
    """The record as it is in memory, None where it does not exist or is not visible."""
    range_ = target.scope.cell.range_of(target.cluster)
    require_readable(range_)
    record = range_.get(target.key)
    if record is not None and target.visible is not None and not target.visible(record):
        return None
    return record


def _run_at_once(steps: Steps) -> Outcome:
    try:
        next(steps)
        while True:
            steps.send(False)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


_computing: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
"""At most one heavy write of an object at a time: of two at once, one would be computed in vain."""


async def _in_parts(target: Target, compute: Compute, keys: Collection[Key]) -> Outcome:
    """Runs a heavy computation, with the parts off the loop in a thread. Its last part runs on the loop, without an await before
    the return. Raises RecordChanged."""
    cell = target.scope.cell
    lock = _computing.setdefault(target.key, asyncio.Lock())
    async with lock:
        await cell.writes_done(keys)
        record = current_record(target)
        steps = compute(record)
        place, outcome = await workers.run(target.cluster, lambda: _part(steps, None))
        while True:
            # Other writes may have been submitted while the thread worked.
            await cell.writes_done(keys)
            if current_record(target) is not record:
                raise RecordChanged
            while outcome is None and place is ON_LOOP:
                place, outcome = _part(steps, True)
            if outcome is not None:
                return outcome
            place, outcome = await workers.run(target.cluster, lambda: _part(steps, True))


def _part(steps: Steps, answer: bool | None) -> tuple[bool, Outcome | None]:
    """Runs a computation up to its next yield. Returns where the next part runs, or the outcome."""
    try:
        return next(steps) if answer is None else steps.send(answer), None
    except StopIteration as end:
        return ON_LOOP, end.value


def create_outcome(target: Target, obj: Object, record: Record | None, *, applied: bool = False) -> Steps:
    """Creates `obj`, which is changed on the way. `record` is the record that has the key already, if any. `applied`:
    managedFields are set already."""
    definition, shape = target.definition, target.shape
    version = obj["metadata"].pop("resourceVersion", None)
    now = timestamp()
    metadata.remove_cluster(obj)
    metadata.drop_deletion(obj)
    if not applied:
        _record_manager(target, obj, None, now)
    review = _review(target, CREATE, obj, None)
    apart = yield ON_LOOP
    _mutate(target, review)
    yield OFF_LOOP
    target.warnings += metadata_warnings(obj, definition)
    metadata.drop_repeated_owners(obj)
    metadata.begin(obj, now, tracks_generation=definition.strategy.tracks_generation)
    definition.strategy.prepare_for_create(obj)
    review.name = obj["metadata"].get("name", "")
    _validate(target, obj, None, at_once=not apart)
    target.warnings += definition.strategy.warnings(obj, None)
    rest = yield from _decide(target, review, bool(apart))
    if version and not applied and version.isdecimal() and version.strip("0"):
        raise StatusError(500, "", "resourceVersion should not be set on objects to be created")
    if record is not None:
        raise already_exists(target.group_resource, record.key.name, deleting=record.head.deleting)
    key = Key(target.cluster, definition.storage_key, target.namespace, review.name)
    metadata.set_cluster(obj, target.cluster)
    if target.dry_run:
        return Outcome(obj=obj, created=True)
    change = _change(target, shape, key, obj, None, rest)
    return Outcome(changes=[change, *review.changes], created=True)


def update_outcome(target: Target, obj: Object, old: Object, record: Record, *, applied: bool = False) -> Steps:
    """Replaces `record` by `obj`, which is changed on the way. `old` is the record's object in the target's version.

    Preconditions are checked already. `applied`: managedFields are set already.
    """
    strategy = target.definition.strategy
    now = timestamp()
    for each in (obj, old):
        metadata.remove_cluster(each)
        each["metadata"].pop("resourceVersion", None)
    metadata.carry_over(obj, old)
    if not applied:
        _record_manager(target, obj, old, now)
    review = _review(target, UPDATE, obj, old)
    apart = yield ON_LOOP
    _mutate(target, review)
    yield OFF_LOOP
    target.warnings += metadata_warnings(obj, target.definition, old)
    metadata.drop_repeated_owners(obj)
    strategy.prepare_for_update(obj, old, target.subresource)
    metadata.carry_over(obj, old)
    if strategy.tracks_generation and _changed(obj, old, target.shape):
        obj["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    _validate(target, obj, old, at_once=not apart)
    target.warnings += strategy.warnings(obj, old)
    gone = is_deleting(obj) and not obj["metadata"].get("finalizers") and not strategy.holds(obj)
    same = not gone and same_but_for_times(obj, old)
    rest = yield from _decide(target, review, bool(apart))
    if same and not review.changes:
        return Outcome(record=record)
    metadata.set_cluster(obj, target.cluster)
    if target.dry_run or gone:
        obj["metadata"]["resourceVersion"] = str(record.version)
        if target.dry_run:
            return Outcome(obj=obj)
        return Outcome(changes=[delete_change(target, record), *review.changes], obj=obj, deleted=True)
    return Outcome(changes=[_change(target, target.shape, record.key, obj, record, rest), *review.changes])


def delete_change(target: Target, record: Record) -> Change:
    """The change that removes a record."""
    catalog = target.scope.catalog(target.definition, record.key, None)
    return Change(record.key, None, None, record, catalog)


def store_change(target: Target, record: Record, obj: Object) -> Change:
    """The change that replaces `record` by `obj`, which is complete and in the target's version."""
    return _change(target, target.shape, record.key, obj, record)


def check_version(target: Target, obj: Object, record: Record, *, unconditional: bool) -> None:
    """Checks the precondition resourceVersion in `obj`. Raises StatusError: 409 where it is not the record's version, 422 where
    it is required and missing."""
    text = obj["metadata"].get("resourceVersion") or "0"
    if text == str(record.version):
        return
    try:
        version = unsigned(text)
    except ValueError as error:
        raise StatusError(500, "", str(error)) from None
    if version == 0:
        if unconditional:
            return
        group, resource = target.group_resource
        failure = FieldError("Invalid", "metadata.resourceVersion", "Invalid value: 0: must be specified for an update")
        raise invalid(group, resource, target.name, [failure])
    if version != record.version:
        raise conflict(target.group_resource, target.name)


def check_uid(target: Target, obj: Object, record: Record) -> None:
    """Checks the precondition uid in a PUT. Raises StatusError 409."""
    uid = obj["metadata"].get("uid")
    if uid and uid != record.head.uid:
        raise conflict(
            target.group_resource,
            target.name,
            f"StorageError: invalid object, Code: 4, Key: {record.key.encode().decode()}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {record.head.uid}",
        )


def reset_fields(definition: ResourceDefinition, shape: Version, subresource: str) -> ResetFields:
    """The fields that an endpoint ignores in what it is sent, so that a writer does not own them by sending them."""
    if "status" not in shape.subresources:
        return ()
    if subresource != "status":
        return (("status",),)
    known: ResetFields | None = shape.memo.get("write.reset")
    if known is None:
        # Built-in types accept metadata on /status, custom types do not.
        written = ("apiVersion", "kind", "status") if definition.message is None else ("apiVersion", "kind", "status", "metadata")
        known = tuple((name,) for name in shape.schema.properties if name not in written)
        shape.memo["write.reset"] = known
    return known


def known_versions(definition: ResourceDefinition) -> Collection[str]:
    """The apiVersions that managers of a type's objects may have in managedFields."""
    memo = definition.versions[definition.storage_version].memo
    known: frozenset[str] | None = memo.get("write.versions")
    if known is None:
        names = [definition.api_version(version.name) for version in definition.versions.values() if version.served]
        if definition.storage_group_resource is not None:
            # Two types that share their storage write the same objects.
            names += [group_version(definition.storage_group_resource.group, name) for name in definition.versions]
        known = memo["write.versions"] = frozenset(names)
    return known


def _record_manager(target: Target, obj: Object, old: Object | None, now: str) -> None:
    if not target.manager:
        if old is not None and "managedFields" in old["metadata"]:
            obj["metadata"].setdefault("managedFields", old["metadata"]["managedFields"])
        return
    shape = target.shape
    record_update(
        obj,
        old,
        manager=target.manager,
        api_version=target.api_version,
        schema=shape.schema,
        subresource=target.subresource,
        now=now,
        reset_fields=reset_fields(target.definition, shape, target.subresource),
        versions=known_versions(target.definition),
    )


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
    )


def _decide(target: Target, review: Review, apart: bool) -> Generator[bool, bool | None, bytes | None]:
    """The last part of a write begins here, on the loop: what is decided now is still true when the write is submitted.

    If other code has run since the mutating plug-ins (`apart`), they are called again: they read memory, which may have changed,
    and may refuse. Their earlier changes are in the object. If one changes something now, memory has changed and the write starts
    again. Returns the encoded object that was made for this comparison, for `stored.encode`. Raises RecordChanged.
    """
    obj = review.object
    assert obj is not None
    if not apart:
        yield ON_LOOP
        target.scope.admission.validate(review)
        return None
    rest, before = stored.encode_rest(obj), with_own_containers(obj)
    yield ON_LOOP
    warned = len(target.warnings)
    _mutate(target, review)
    del target.warnings[warned:]
    # Encoding the whole object again would block the loop several times as long.
    if obj != before:
        raise RecordChanged
    target.scope.admission.validate(review)
    return rest


def _mutate(target: Target, review: Review) -> None:
    try:
        target.scope.admission.mutate(review)
    except (AttributeError, KeyError, TypeError):
        # Plug-ins run before schema validation. Where one fails on a value of a wrong type, validation refuses that value.
        assert review.object is not None
        _validate(target, review.object, review.old_object)
        raise


def _validate(target: Target, obj: Object, old: Object | None, *, at_once: bool = False) -> None:
    definition = target.definition
    errors = validate_metadata(obj, old, definition)
    if old is not None:
        # Upstream validates metadata twice, in general and for the type, so clients see each cause twice.
        errors = errors * 2
    if definition.message is None:
        schema = target.shape.schema
        errors += (
            validate(obj, schema, warnings=target.warnings, at_once=at_once)
            if old is None
            else validate(obj, schema, old=old, warnings=target.warnings, at_once=at_once)
        )
    errors += definition.strategy.validate(obj, old, target.subresource)
    if errors:
        # Errors of a type that is stored as another one have the name of that one (events).
        group = (definition.storage_group_resource or definition.group_resource).group
        raise invalid(group, definition.kind, obj["metadata"].get("name", ""), errors)


def _changed(obj: Object, old: Object, shape: Version) -> bool:
    """Whether anything except metadata differs. The status does not count where it is a subresource."""
    apart = ("metadata", "status") if "status" in shape.subresources else ("metadata",)
    names = {*obj, *old}.difference(apart)
    return any(obj.get(name) != old.get(name) for name in names)


def _change(target: Target, shape: Version, key: Key, obj: Object, record: Record | None, rest: bytes | None = None) -> Change:
    """The change of a write. `rest` is the encoded object without its metadata, if it is encoded already."""
    definition = target.definition
    if shape.to_storage is not None:
        obj, rest = shape.to_storage(obj) or obj, None
    catalog = target.scope.catalog(definition, key, obj)
    head = records.head_of(obj, definition, normalised=shape.name == definition.storage_version)
    value = stored.encode(obj, rest)
    if json_size.has_too_many(value):
        raise too_many_values(json_size.MAX_VALUES)
    return Change(key, value, head, record, catalog)
