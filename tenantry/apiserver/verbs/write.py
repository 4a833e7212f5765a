"""The one way in which objects are written: read memory, compute, commit; again where another writer was quicker.

    wait    → record ─► compute (mutating admission, strategy, validation, validating admission) ─► commit ─┬─► outcome
       ▲                                                                                                    │
       └──────────────────────────────── Stale ─────────────────────────────────────────────────────────────┘

A computation is a generator that yields where it has to change places: `ON_LOOP` before it asks admission, which reads memory,
`OFF_LOOP` before it works on values alone. Light writes run all of it at once, so that nothing can come between reading a record
and submitting its change. Heavy ones run what works on values in a thread; before each part on the loop the record is looked at
again, and the last part decides and submits without a gap, as the whole of a light one does. Verbs and reconcilers differ only in
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
from tenantry.kube.schema.cel import TooMuchAtOnce
from tenantry.kube.schema.validate import validate
from tenantry.kube.status import FieldError, StatusError, already_exists, conflict, forbidden, invalid, too_many_values
from tenantry.storage.cell import NotOwned, Stale
from tenantry.storage.keys import Key
from tenantry.storage.record import Change, Record
from tenantry.storage.store import StoreError

ATTEMPTS = 100
"""How often a write is computed before the client is told of the conflict. Writers of one key take turns, so only a change of
something else in the transaction (a quota) makes a second attempt."""
HEAVY_ATTEMPTS = 8
"""The same for a heavy write, which takes longer than others take to change its object again."""

ON_LOOP, OFF_LOOP = True, False


@dataclass(slots=True, eq=False, kw_only=True)
class Target:
    """Which object is written, by whom and how. `user` is who admission sees; `visible` says whether a record exists in the
    scope. `manager` empty: no managedFields are kept for this write. `beyond_capacity`: as in `Request`."""

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
    """Of what was sent, as `work.weigh` has it."""
    beyond_capacity: bool = False

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
    """What a write came to. `changes` are to be committed, the object's own first. The object is in `record` where it is stored
    as answered, else in `obj` (dry runs, objects that are gone)."""

    changes: list[Change] = field(default_factory=list)
    record: Record | None = None
    obj: Object | None = None
    created: bool = False
    deleted: bool = False
    weight: int = 0
    """Of what was computed."""

    def to_object(self, target: Target) -> Object:
        """The object in the version of the target, a copy of one's own."""
        if self.record is not None:
            return records.decode(self.record, target.definition, target.version)
        assert self.obj is not None
        return self.obj


class Overtaken(Exception):
    """Memory is not what a computation began with."""


Steps = Generator[bool, bool | None, Outcome]
"""A computation in parts, the first of which may run in a thread. Each yield says where the next part runs, and is answered with
whether the parts are run apart. What runs on the loop may raise Overtaken."""
Compute = Callable[[Record | None], Steps]


async def run(target: Target, compute: Compute) -> Outcome:
    """Computes and commits until the outcome stands. `compute` is given the record as memory holds it now, None where there is
    none (or none that is visible), and may be called again. Raises StatusError: 409 where others were quicker all the time."""
    cell = target.scope.cell
    keys = [target.key]
    warned = len(target.warnings)
    in_thread = False
    try:
        for attempt in range(ATTEMPTS):
            del target.warnings[warned:]
            await cell.writes_done(keys)
            record = look(target)
            weight = target.weight + (weigh(record.value) if record is not None else 0)
            if not in_thread and is_light(weight):
                try:
                    outcome = _at_once(compute(record))
                except TooMuchAtOnce:
                    # A small object whose rules are not.
                    in_thread = True
                    continue
            elif attempt < HEAVY_ATTEMPTS:
                try:
                    outcome = await _in_parts(target, compute, keys)
                except Overtaken:
                    continue
            else:
                break
            outcome.weight = weight
            if not outcome.changes:
                return outcome
            _check_room(target, outcome.changes)
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


def _check_room(target: Target, changes: Sequence[Change]) -> None:
    """Raises StatusError 403 where a cluster would come to hold more bytes than it may. What the platform itself writes, and what
    makes it less, is let through: a full workspace can be emptied."""
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


def look(target: Target) -> Record | None:
    """The record as memory holds it now, None where none is visible."""
    range_ = target.scope.cell.range_of(target.cluster)
    require_readable(range_)
    record = range_.get(target.key)
    if record is not None and target.visible is not None and not target.visible(record):
        return None
    return record


def _at_once(steps: Steps) -> Outcome:
    try:
        next(steps)
        while True:
            steps.send(False)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome


_computing: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
"""One heavy write of an object at a time: of two at once, one would be for nothing."""


async def _in_parts(target: Target, compute: Compute, keys: Collection[Key]) -> Outcome:
    """Runs a heavy computation, in a thread where it is not on the loop. Its last part is on the loop, with no gap before the
    return. Raises Overtaken."""
    cell = target.scope.cell
    lock = _computing.setdefault(target.key, asyncio.Lock())
    async with lock:
        await cell.writes_done(keys)
        record = look(target)
        steps = compute(record)
        place, outcome = await workers.run(target.cluster, lambda: _part(steps, None))
        while True:
            # Others had their turn.
            await cell.writes_done(keys)
            if look(target) is not record:
                raise Overtaken
            while outcome is None and place is ON_LOOP:
                place, outcome = _part(steps, True)
            if outcome is not None:
                return outcome
            place, outcome = await workers.run(target.cluster, lambda: _part(steps, True))


def _part(steps: Steps, answer: bool | None) -> tuple[bool, Outcome | None]:
    """Runs up to the next change of places: where to, or the outcome."""
    try:
        return next(steps) if answer is None else steps.send(answer), None
    except StopIteration as end:
        return ON_LOOP, end.value


def create_outcome(target: Target, obj: Object, record: Record | None, *, applied: bool = False) -> Steps:
    """The creation of `obj`, which is changed on the way; `record` has the place now. `applied`: managedFields are set."""
    definition, shape = target.definition, target.shape
    version = obj["metadata"].pop("resourceVersion", None)
    now = timestamp()
    metadata.take_off_cluster(obj)
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
    metadata.put_on_cluster(obj, target.cluster)
    if target.dry_run:
        return Outcome(obj=obj, created=True)
    change = _change(target, shape, key, obj, None, rest)
    return Outcome(changes=[change, *review.changes], created=True)


def update_outcome(target: Target, obj: Object, old: Object, record: Record, *, applied: bool = False) -> Steps:
    """The replacement of `record` by `obj`, which is changed on the way. `old` is the record's object in the target's version.

    Preconditions were checked. `applied`: managedFields are set.
    """
    strategy = target.definition.strategy
    now = timestamp()
    for each in (obj, old):
        metadata.take_off_cluster(each)
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
    metadata.put_on_cluster(obj, target.cluster)
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
    """The change that stores `obj`, complete and in the target's version, in place of `record`."""
    return _change(target, target.shape, record.key, obj, record)


def check_version(target: Target, obj: Object, record: Record, *, unconditional: bool) -> None:
    """The precondition that the resourceVersion in `obj` is. Raises StatusError: 409, or 422 where there must be one."""
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
    """The precondition that the uid in a PUT is. Raises StatusError 409."""
    uid = obj["metadata"].get("uid")
    if uid and uid != record.head.uid:
        raise conflict(
            target.group_resource,
            target.name,
            f"StorageError: invalid object, Code: 4, Key: {record.key.encode().decode()}, ResourceVersion: 0, "
            f"AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {record.head.uid}",
        )


def reset_fields(definition: ResourceDefinition, shape: Version, subresource: str) -> ResetFields:
    """What an endpoint ignores of what it is sent, so that nobody comes to own it by sending it."""
    if "status" not in shape.subresources:
        return ()
    if subresource != "status":
        return (("status",),)
    known: ResetFields | None = shape.memo.get("write.reset")
    if known is None:
        # Built-in types let metadata through on /status, custom ones do not.
        written = ("apiVersion", "kind", "status") if definition.message is None else ("apiVersion", "kind", "status", "metadata")
        known = tuple((name,) for name in shape.schema.properties if name not in written)
        shape.memo["write.reset"] = known
    return known


def known_versions(definition: ResourceDefinition) -> Collection[str]:
    """The apiVersions in which managers of a type's objects may have written."""
    memo = definition.versions[definition.storage_version].memo
    known: frozenset[str] | None = memo.get("write.versions")
    if known is None:
        names = [definition.api_version(version.name) for version in definition.versions.values() if version.served]
        if definition.storage_group_resource is not None:
            # Both of two types that share their storage write into the same objects.
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
        beyond_capacity=target.beyond_capacity,
    )


def _decide(target: Target, review: Review, apart: bool) -> Generator[bool, bool | None, bytes | None]:
    """The last part of a write begins here, on the loop: what it decides holds until it is submitted.

    Where time has passed since the mutating plugins (`apart`) they are asked again: they too read memory, and refuse. They find
    their own work done; where one changes something, memory was changed, and all begins again. What was encoded for that is
    returned, for `stored.encode`. Raises Overtaken.
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
    # To encode all of it again would keep the loop several times as long.
    if obj != before:
        raise Overtaken
    target.scope.admission.validate(review)
    return rest


def _mutate(target: Target, review: Review) -> None:
    try:
        target.scope.admission.mutate(review)
    except (AttributeError, KeyError, TypeError):
        # Plugins read by the schema what is held against it only afterwards: what one stumbles over is refused there.
        assert review.object is not None
        _validate(target, review.object, review.old_object)
        raise


def _validate(target: Target, obj: Object, old: Object | None, *, at_once: bool = False) -> None:
    definition = target.definition
    errors = validate_metadata(obj, old, definition)
    if old is not None:
        # Upstream validates metadata generally and again for the type: clients see each cause twice.
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
        # A type that lives with another one is refused in that one's name (events).
        group = (definition.storage_group_resource or definition.group_resource).group
        raise invalid(group, definition.kind, obj["metadata"].get("name", ""), errors)


def _changed(obj: Object, old: Object, shape: Version) -> bool:
    """Whether anything but metadata, and the status where it is apart, differs."""
    apart = ("metadata", "status") if "status" in shape.subresources else ("metadata",)
    names = {*obj, *old}.difference(apart)
    return any(obj.get(name) != old.get(name) for name in names)


def _change(target: Target, shape: Version, key: Key, obj: Object, record: Record | None, rest: bytes | None = None) -> Change:
    """`rest`: all but the metadata, if it is encoded already."""
    definition = target.definition
    if shape.to_storage is not None:
        obj, rest = shape.to_storage(obj) or obj, None
    catalog = target.scope.catalog(definition, key, obj)
    head = records.head_of(obj, definition, normalised=shape.name == definition.storage_version)
    value = stored.encode(obj, rest)
    if json_size.has_too_many(value):
        raise too_many_values(json_size.MAX_VALUES)
    return Change(key, value, head, record, catalog)
