"""Reads and writes objects for code in the process (controllers, views). It is the same write path as that of the verbs, without
HTTP.

Objects are complete and in the shape of the storage version. Writes are admitted and validated as a client's are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson

from tenantry.apiserver import records
from tenantry.apiserver.conversion.stored_in import storing_in
from tenantry.apiserver.decoding import normalise
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.storage_errors import require_readable
from tenantry.apiserver.user import SYSTEM, User
from tenantry.apiserver.verbs.compute import update_outcome
from tenantry.apiserver.verbs.create import create_object
from tenantry.apiserver.verbs.delete import delete_outcome
from tenantry.apiserver.verbs.options import DeleteOptions
from tenantry.apiserver.verbs.write import OFF_LOOP, ON_LOOP, Outcome, Steps, Target, run
from tenantry.apiserver.worker_threads import run_weighed, weigh
from tenantry.kube.codec import json_slices
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, name_of, namespace_of
from tenantry.kube.status import StatusError, method_not_allowed
from tenantry.storage.keys import Key
from tenantry.storage.record import Record

ChangeObject = Callable[[Object], Object | None]
"""See `update`."""
MANAGER = "tenantry"
"""The field manager of writes by the process itself."""


async def create(
    scope: Scope,
    definition: ResourceDefinition,
    obj: Object,
    *,
    user: User = SYSTEM,
    namespace: str = "",
    dry_run: bool = False,
    manager: str = MANAGER,
) -> Object:
    """Creates a copy of `obj` and returns it as stored. `namespace` is the object's own where it is empty. Raises StatusError."""
    place = namespace or namespace_of(obj)
    target = _target(scope, definition, place, name_of(obj), user=user, dry_run=dry_run, manager=manager)
    sent = orjson.dumps(obj)
    target.weight = weigh(sent)
    mine = await run_weighed(target.cluster, target.weight, lambda: _own(json_slices.loads(sent), definition, place))
    return (await create_object(target, mine)).to_object(target)


async def update(
    scope: Scope,
    definition: ResourceDefinition,
    namespace: str,
    name: str,
    change: ChangeObject,
    *,
    subresource: str = "",
    user: User = SYSTEM,
    manager: str = MANAGER,
) -> Object | None:
    """Replaces the object by the result of `change` and returns it as stored. None where the object does not exist.

    `change` gets a copy that it may alter, and returns the new object, or None to keep the old one. It is called again when
    another writer was faster. Nothing is written where nothing changes. Removing the last finalizer of a deleted object removes
    the object. Raises StatusError.
    """
    target = _target(scope, definition, namespace, name, subresource=subresource, user=user, manager=manager)

    def compute(record: Record | None) -> Steps:
        if record is None:
            return Outcome()
        kept = _in_place(target, record)
        definition, version = kept.definition, kept.version
        obj = records.decode(record, definition, version)
        yield ON_LOOP
        wanted = change(obj)
        if wanted is None:
            return Outcome(record=record)
        yield OFF_LOOP
        mine, old = _own(records.copy(wanted), definition, namespace, record), records.decode(record, definition, version)
        return (yield from update_outcome(kept, mine, old, record))

    outcome = await run(target, compute)
    return None if outcome.record is None and outcome.obj is None else outcome.to_object(target)


async def delete(
    scope: Scope,
    definition: ResourceDefinition,
    namespace: str,
    name: str,
    *,
    options: DeleteOptions | None = None,
    user: User = SYSTEM,
) -> Object | None:
    """Deletes the object, or marks it as deleted where it has finalizers. Returns its last state, None where it does not exist.
    Raises StatusError for all other errors."""
    target = _target(scope, definition, namespace, name, user=user, manager="", dry_run=bool(options and options.dry_run))
    try:
        how = options or DeleteOptions()
        return (await run(target, lambda record: delete_outcome(_in_place(target, record), how, record))).to_object(target)
    except StatusError as error:
        if error.code == 404 and error.reason == "NotFound":
            return None
        raise


def read(scope: Scope, definition: ResourceDefinition, namespace: str, name: str) -> Object | None:
    """A copy of the object as it is now, None where it does not exist. Raises StatusError 503 where this shard does not own the
    range."""
    require_readable(scope.range)
    record = scope.range.get(Key(_cluster(scope, definition), definition.storage_key, namespace, name))
    return None if record is None else records.decode(record, definition, definition.storage_version)


def _target(
    scope: Scope,
    definition: ResourceDefinition,
    namespace: str,
    name: str,
    *,
    subresource: str = "",
    user: User = SYSTEM,
    manager: str = "",
    dry_run: bool = False,
) -> Target:
    return Target(
        scope=scope,
        definition=definition,
        version=definition.storage_version,
        cluster=_cluster(scope, definition),
        namespace=namespace,
        name=name,
        subresource=subresource,
        user=user,
        manager=manager,
        dry_run=dry_run,
    )


def _in_place(target: Target, record: Record | None) -> Target:
    """The target, written in the version in which the record is: the server does not wait for a webhook of a tenant."""
    definition = target.definition
    if record is None or definition.conversion is None:
        return target
    version = records.written_in(record, definition)
    if version not in definition.versions:
        return target
    return replace(target, definition=storing_in(definition, version), version=version)


def _cluster(scope: Scope, definition: ResourceDefinition) -> str:
    if scope.cluster is None:
        raise method_not_allowed(definition.group_resource, "write")
    return scope.cluster


def _own(mine: Object, definition: ResourceDefinition, namespace: str, record: Record | None = None) -> Object:
    """A complete copy of the object, normalised as a body is."""
    mine["apiVersion"], mine["kind"] = definition.api_version(definition.storage_version), definition.kind
    metadata = mine.setdefault("metadata", {})
    if namespace and definition.namespaced:
        metadata["namespace"] = namespace
    normalise(definition, definition.versions[definition.storage_version], mine, record)
    return mine
