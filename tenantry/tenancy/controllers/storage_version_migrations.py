"""Runs StorageVersionMigrations (kube-controller-manager's storage version migrator): every object of a type is encoded again as
the type is stored now, and written where that differs from what is stored.

What is stored has no version: readers give it the shape of today's storage version. So most migrations find nothing to write.
Objects that were written under another schema lose what the schema lacks, and fields get the schema's defaults, as a write of
them would do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from tenantry.apiserver import local_client, records
from tenantry.apiserver.user import SYSTEM
from tenantry.apiserver.verbs.compute import store_change
from tenantry.apiserver.verbs.converted import reader
from tenantry.apiserver.verbs.write import OFF_LOOP, Outcome, Steps, Target, run
from tenantry.base.time_slices import PIECE, turns
from tenantry.controllers.controller import Retry
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.decode import of_its_type
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.status import StatusError
from tenantry.kube.types.conditions import is_true
from tenantry.kube.types.storage_version_migration import DEFINITION, FAILED, RUNNING, SUCCEEDED, migrated_resource
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.resources import STORAGE_VERSION_MIGRATIONS

_FAILURE = "StorageVersionMigrationFailed"
_RETRIED = frozenset((429, 500, 503, 504))
_PATIENCE = timedelta(minutes=1)
"""How long a migration waits for its type: clients may create both at once (upstream's time)."""
_PAUSE_SECONDS = 2.0
PIECE_SECONDS = 0.1
"""How long a migration goes on until others have their turn."""
_LATEST = (1 << 63) - 1
_DIGITS_MAX = len(str(_LATEST))


@dataclass(slots=True)
class _Progress:
    """How far the migration of a logical cluster is. `records`: what is still to be looked at."""

    key: Key
    storage_key: str
    records: Iterator[Record]
    examined: int = 0


class StorageVersionMigrationController(ObjectController):
    """A migration is done in pieces, and logical clusters take turns, so that a large one does not hold up those of others. In a
    cluster one runs at a time, and the others wait until it ends."""

    name = "storage-version-migrations"
    workers = 2

    def __init__(self, *, apis: ClusterApis, scopes: ClusterScopes) -> None:
        self._apis = apis
        self._scopes = scopes
        self._running: dict[str, _Progress] = {}
        """Cluster → its migration that has begun."""
        self._waiting: dict[str, dict[Key, None]] = {}
        """Cluster → those that wait for it, in their order."""

    @property
    def resources(self) -> Sequence[str] | None:
        return (STORAGE_VERSION_MIGRATIONS,)

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key for record in range_.each(STORAGE_VERSION_MIGRATIONS))

    def released(self, range_: Range) -> None:
        for kept in (self._running, self._waiting):
            for cluster in [each for each in kept if each in range_]:
                del kept[cluster]

    async def reconcile(self, range_: Range, key: Key) -> None:
        goes_on = False
        try:
            goes_on = await self._reconcile(range_, key)
        finally:
            if not goes_on:
                self._leave(key)
        if goes_on:
            self.enqueue(key)

    async def _reconcile(self, range_: Range, key: Key) -> bool:
        """Returns whether the migration has begun and has not ended."""
        record = range_.get(key)
        if record is None or record.head.deleting:
            return False
        migration = of_its_type(record.value, DEFINITION)
        if migration is None or _has_ended(migration):
            return False
        running = self._running.get(key.cluster)
        if running is not None and running.key != key:
            self._waiting.setdefault(key.cluster, {})[key] = None
            return False
        group, plural = migrated_resource(migration)
        definition = self._apis.definition(key.cluster, group, plural)
        if definition is None:
            created = datetime.fromisoformat(migration["metadata"]["creationTimestamp"])
            if datetime.now(UTC) - created < _PATIENCE:
                raise Retry(_PAUSE_SECONDS, f"there is no {plural}.{group} yet")
            await self._end(key, FAILED, _FAILURE, "resource does not exist in discovery")
            return False
        if not definition.stored:
            await self._end(key, FAILED, _FAILURE, f"{definition.group_resource} is not stored")
            return False
        if running is None or running.storage_key != definition.storage_key:
            # Noted before anything is awaited: another worker may have another migration of this cluster.
            records = range_.each(definition.storage_key, key.cluster)
            running = self._running[key.cluster] = _Progress(key, definition.storage_key, records)
        version = (migration.get("status") or {}).get("resourceVersion")
        if not version:
            version = str(range_.version)
            await self._begin(key, version)
        try:
            if not await self._migrate(running, key.cluster, definition, _number(version)):
                return True
        except StatusError as error:
            if error.code in _RETRIED:
                raise Retry(why=error.message) from error
            await self._end(key, FAILED, _FAILURE, f"migration encountered unhandled error: {error.message}")
            return False
        verified = f", {running.examined} objects verified migrated" if running.examined else ""
        await self._end(key, SUCCEEDED, "StorageVersionMigrationSucceeded", "Migration completed", running=verified)
        return False

    def _leave(self, key: Key) -> None:
        """Lets the next migration of a cluster begin, where this was the one that ran, or none runs."""
        cluster = key.cluster
        running = self._running.get(cluster)
        if running is not None:
            if running.key != key:
                return
            del self._running[cluster]
        waiting = self._waiting.get(cluster)
        if waiting:
            following = next(iter(waiting))
            del waiting[following]
            self.enqueue(following)
        if not waiting:
            self._waiting.pop(cluster, None)

    async def _migrate(self, progress: _Progress, cluster: str, definition: ResourceDefinition, version: int) -> bool:
        """Writes again what was last written up to `version`, until the time of a piece is over. Returns whether that is all."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PIECE_SECONDS
        scope = self._scopes.cluster(cluster)
        for record in progress.records:
            progress.examined += 1
            if record.version <= version and not _has_shape(definition, record):
                target = Target(
                    scope=scope,
                    definition=definition,
                    version=definition.storage_version,
                    cluster=cluster,
                    namespace=record.key.namespace,
                    name=record.key.name,
                    user=SYSTEM,
                )
                await run(target, partial(_again, target))
            if progress.examined % PIECE == 0:
                await turns.rest()
            if loop.time() >= until:
                return False
        return True

    async def _begin(self, key: Key, version: str) -> None:
        def begun(migration: Object) -> Object | None:
            status = migration.get("status") or {}
            migration["status"] = status | {"resourceVersion": status.get("resourceVersion") or version}
            _set(migration, RUNNING, "MigrationRunning", "The migration is running")
            return migration

        await self._update(key, begun)

    async def _end(self, key: Key, name: str, reason: str, message: str, *, running: str = "") -> None:
        def ended(migration: Object) -> Object | None:
            if _has_ended(migration):
                return None
            if running:
                _set(migration, RUNNING, "MigrationRunning", f"The migration is running{running}")
            _set(migration, name, reason, message)
            return migration

        await self._update(key, ended)

    async def _update(self, key: Key, change: Callable[[Object], Object | None]) -> None:
        scope = self._scopes.cluster(key.cluster)
        await local_client.update(scope, DEFINITION, "", key.name, change, subresource="status")


def _again(target: Target, record: Record | None) -> Steps:
    """The object as it is, encoded as its type is stored now. Nothing is written where that is what is stored."""
    if record is None:
        return Outcome()
    yield OFF_LOOP
    obj = (yield from reader(target, record))()
    obj["metadata"].pop("resourceVersion", None)
    change = store_change(target, record, obj)
    return Outcome(record=record) if change.value == record.value else Outcome(changes=[change])


def _has_shape(definition: ResourceDefinition, record: Record) -> bool:
    """Whether it is known without looking that nothing is to be written: built-in types have one shape."""
    return not definition.custom or records.are_in_shape([record], definition, definition.storage_version)


def _number(version: str) -> int:
    """A resource version that a client wrote: digits, of which there may be any number. One beyond all others is as good as the
    latest."""
    return int(version) if len(version) <= _DIGITS_MAX else _LATEST


def _has_ended(migration: Object) -> bool:
    conditions = (migration.get("status") or {}).get("conditions")
    return is_true(conditions, SUCCEEDED) or is_true(conditions, FAILED)


def _set(migration: Object, name: str, reason: str, message: str) -> None:
    """Sets a condition to true, and keeps since when it is."""
    status = migration.setdefault("status", {})
    conditions: list[Object] = list(status.get("conditions") or ())
    known = next((each for each in conditions if each.get("type") == name), None)
    since = known["lastTransitionTime"] if known is not None and known.get("status") == "True" else timestamp()
    new = {"type": name, "status": "True", "reason": reason, "message": message, "lastTransitionTime": since}
    status["conditions"] = [*(each for each in conditions if each is not known), new]
