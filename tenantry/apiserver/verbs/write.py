"""The one way to write objects: read memory, compute, commit. Start again where another writer was faster.

    wait    → record ─► compute (mutating admission, strategy, validation, validating admission) ─► commit ─┬─► outcome
       ▲                                                                                                    │
       └──────────────────────────────── Stale ─────────────────────────────────────────────────────────────┘

A computation is a generator. It yields `ON_LOOP` before it calls admission, which reads memory, and `OFF_LOOP` before it works
only on values. A light write runs all of it at once, so that nothing can happen between reading the record and submitting the
change. A heavy write runs the parts that work on values in a thread. Before each part on the loop it checks that the record is
still the same, and the last part decides and submits without an await, like a light write. A computation that yields an `Ask`
has to ask another server (a webhook). The write awaits that, and then looks at its record as after a part in a thread. Verbs and
controllers differ only in how they compute the new object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from tenantry.apiserver import records
from tenantry.apiserver.admission.dynamic import Ask
from tenantry.apiserver.deferred import Deferred, Waiting
from tenantry.apiserver.scope import Scope, Translation
from tenantry.apiserver.storage_errors import require_readable, to_status
from tenantry.apiserver.user import User
from tenantry.apiserver.worker_threads import is_light, weigh, workers
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.status import StatusError, already_exists, conflict, forbidden
from tenantry.storage.cell import NotOwned, Stale
from tenantry.storage.keys import Key
from tenantry.storage.record import Change, Record
from tenantry.storage.store import StoreError

ATTEMPTS = 100
"""How often a write is computed before the client gets a conflict. Writers of one key take turns, so a second attempt is needed
only after a change of something else in the transaction (a quota)."""
HEAVY_ATTEMPTS = 8
"""The same for a heavy write, and for one that asks webhooks. It may take longer than the time between two changes of its
object."""
ASKING_SECONDS = 34.0
"""How long a write may take that asks webhooks, as upstream: four seconds more than the longest timeout of one of them."""

ON_LOOP, OFF_LOOP = True, False
T = TypeVar("T")


@dataclass(slots=True, eq=False, kw_only=True)
class Target:
    """The object to write, by which user and how. `user` is the user for admission. `visible` says whether a record is visible in
    the scope. `translation`: of what the client writes into what is stored, where these differ. `manager` empty: this write does
    not change managedFields."""

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
    translation: Translation | None = None
    warnings: list[str] = field(default_factory=list)
    weight: int = 0
    """Weight of the request's body, in the unit of `work.weigh`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options that the request gave, for dynamic admission."""
    named: bool = True
    """Whether the request names the object. One that deletes a collection, or creates an object with a generated name, does
    not."""
    audit_annotations: dict[str, str] = field(default_factory=dict)
    """What webhooks and policies want to see in the audit log about this write."""

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

    @property
    def as_stored(self) -> Target:
        """The same object by the type as which it is stored, where a view serves another form of that."""
        definition = self.translation.definition if self.translation is not None else None
        return self if definition is None else replace(self, definition=definition)


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


Place = bool
Part = Generator[Place | Ask, bool | None, T]
"""A part of a computation that ends with a value."""
Steps = Part[Outcome]
"""A computation in parts; the first part may run in a thread. Each yield says where the next part runs, or what is to be awaited
before it, on the loop. It receives whether other code may have run in between (`apart`). Parts on the loop may raise
RecordChanged."""
Compute = Callable[[Record | None], Steps]


async def run(target: Target, compute: Compute) -> Outcome:
    """Computes and commits, and starts again where the commit is Stale. `compute` gets the record as it is in memory, None where
    it does not exist or is not visible. It may be called several times. Raises StatusError: 409 where other writers were faster
    in every attempt."""
    cell = target.scope.cell
    keys = [target.key]
    warned = len(target.warnings)
    in_thread = asked = overtaken = False
    waiting = Waiting()
    deadline = asyncio.get_running_loop().time() + ASKING_SECONDS
    try:
        for attempt in range(ATTEMPTS):
            del target.warnings[warned:]
            target.audit_annotations.clear()
            if cell.is_writing(keys):
                await cell.writes_done(keys)
            record = current_record(target)
            weight = target.weight + (weigh(record.value) if record is not None else 0)
            if (in_thread or asked or not is_light(weight)) and attempt >= HEAVY_ATTEMPTS:
                break
            try:
                if in_thread or asked or not is_light(weight):
                    # One that was overtaken while it asked takes turns with the others that were.
                    outcome = await _in_turn(target, compute, keys, deadline, waiting, overtaken=overtaken)
                else:
                    steps = compute(record)
                    done = waiting.at_once(_run_at_once, steps, False)
                    if isinstance(done, Ask):
                        asked = True
                        done = await _asking(target, steps, done, record, keys, deadline, waiting)
                    outcome = done
            except Deferred as deferred:
                # An authorizer has to ask a webhook before it can answer admission.
                await waiting.work(deferred)
                continue
            except LoopBudgetExceeded:
                # A small object with expensive CEL rules.
                in_thread = True
                continue
            except RecordChanged:
                overtaken = True
                continue
            outcome.weight = weight
            if not outcome.changes:
                return outcome
            _check_cluster_bytes(target, outcome.changes)
            try:
                committed = await cell.commit(outcome.changes)
            except Stale as stale:
                if outcome.created and stale.key == target.key:
                    _refuse_hidden(target)
                if stale.key not in keys:
                    keys.append(stale.key)
                overtaken = True
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
    limit = cell.limits_of(target.cluster).size_bytes
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


def _refuse_hidden(target: Target) -> None:
    """Raises StatusError 409 where the name of an object to be created is that of one which the caller does not see. To start
    again would not find out: visibility hides it from each computation."""
    record = target.scope.cell.range_of(target.cluster).get(target.key)
    if record is not None and target.visible is not None and not target.visible(record):
        raise already_exists(target.group_resource, target.name, deleting=record.head.deleting)


def current_record(target: Target) -> Record | None:
    """The record as it is in memory, None where it does not exist or is not visible."""
    range_ = target.scope.cell.range_of(target.cluster)
    require_readable(range_)
    record = range_.get(target.key)
    if record is not None and target.visible is not None and not target.visible(record):
        return None
    return record


def _run_at_once(steps: Steps, apart: bool, refused: StatusError | None = None) -> Outcome | Ask:
    """Runs a computation up to its next Ask, or to its end. `apart`: it has awaited an Ask, which `refused` the write."""
    try:
        place = steps.throw(refused) if refused is not None else steps.send(True) if apart else next(steps)
        while not isinstance(place, Ask):
            # What runs on the loop must not take long, so a part that works on values is told that it is not in a thread.
            place = steps.send(apart and place is ON_LOOP)
    except StopIteration as end:
        outcome: Outcome = end.value
        return outcome
    return place


async def _asking(
    target: Target,
    steps: Steps,
    ask: Ask,
    record: Record | None,
    keys: Collection[Key],
    deadline: float,
    waiting: Waiting,
) -> Outcome:
    """Goes on with a light computation that has to ask. Its last part runs without an await before the return. Raises
    RecordChanged, Deferred."""
    while True:
        refused = await _answer(ask, deadline)
        await target.scope.cell.writes_done(keys)
        if current_record(target) is not record:
            raise RecordChanged
        done = waiting.at_once(_run_at_once, steps, True, refused)
        if not isinstance(done, Ask):
            return done
        ask = done


async def _answer(ask: Ask, deadline: float) -> StatusError | None:
    """Awaits the answer. Returns the error with which it refuses the write, for the computation to see."""
    try:
        await ask.call(deadline)
    except StatusError as error:
        return error
    return None


class _Turn(asyncio.Lock):
    """`asking`: whether the write whose turn it is awaits an Ask."""

    asking = False


_computing: WeakValueDictionary[Key, _Turn] = WeakValueDictionary()
"""At most one heavy write of an object at a time: of two at once, one would be computed for nothing."""


async def _in_turn(
    target: Target, compute: Compute, keys: Collection[Key], deadline: float, waiting: Waiting, *, overtaken: bool
) -> Outcome:
    """As `_in_parts`, when it is this write's turn. Only one that was `overtaken` before waits for one that asks: a webhook that
    writes the object about which it is asked would wait for its own answer."""
    turn = _computing.setdefault(target.key, _Turn())
    if turn.asking and not overtaken:
        return await _in_parts(target, compute, keys, deadline, waiting, _Turn())
    async with turn:
        return await _in_parts(target, compute, keys, deadline, waiting, turn)


async def _in_parts(
    target: Target, compute: Compute, keys: Collection[Key], deadline: float, waiting: Waiting, turn: _Turn
) -> Outcome:
    """Runs a heavy computation, with the parts off the loop in a thread. Its last part runs on the loop, without an await before
    the return. Raises RecordChanged, Deferred."""
    cell = target.scope.cell
    await cell.writes_done(keys)
    record = current_record(target)
    steps = compute(record)
    place, outcome = await workers.run(target.cluster, lambda: _part(steps, None))
    while True:
        refused = None
        if isinstance(place, Ask):
            turn.asking = True
            try:
                refused = await _answer(place, deadline)
            finally:
                turn.asking = False
        # Other writes may have been submitted while the thread worked.
        await cell.writes_done(keys)
        if current_record(target) is not record:
            raise RecordChanged
        if isinstance(place, Ask):
            place, outcome = waiting.at_once(_part, steps, True, refused)
        while outcome is None and place is ON_LOOP:
            place, outcome = waiting.at_once(_part, steps, True)
        if outcome is not None:
            return outcome
        if place is OFF_LOOP:
            place, outcome = await workers.run(target.cluster, lambda: _part(steps, True))


def _part(steps: Steps, answer: bool | None, refused: StatusError | None = None) -> tuple[Place | Ask, Outcome | None]:
    """Runs a computation up to its next yield. Returns where the next part runs, or the outcome. `refused`: what it has asked
    for refuses the write."""
    try:
        if refused is not None:
            return steps.throw(refused), None
        return next(steps) if answer is None else steps.send(answer), None
    except StopIteration as end:
        return ON_LOOP, end.value
