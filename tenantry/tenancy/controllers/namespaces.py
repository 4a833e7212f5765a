"""A namespace that is deleted takes its contents along (upstream's namespace controller)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import orjson

from tenantry.apiserver import objects
from tenantry.kube.objects import Object, timestamp
from tenantry.kube.status import StatusError
from tenantry.kube.types.namespace import DEFINITION
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change, Record, RecordEvent
from tenantry.tenancy.controllers.lookup import definition_of
from tenantry.tenancy.reconcile import Controller

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

NAMESPACES = "core/namespaces"
FINALIZER = "kubernetes"


class NamespaceDeletion(Controller):
    """Deletes what is in a terminating namespace, says in its conditions what remains, and lets it go when it is empty."""

    name = "namespace-deletion"
    workers = 8

    def __init__(self, host: Host) -> None:
        self._host = host
        self._terminating: set[tuple[str, str]] = set()

    @property
    def resources(self) -> Sequence[str] | None:
        return None

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        if key.resource == NAMESPACES:
            return (key,) if event.record is not None and event.record.head.deleting else ()
        if event.record is None and (key.cluster, key.namespace) in self._terminating:
            return (Key(key.cluster, NAMESPACES, "", key.namespace),)
        return ()

    def initial_keys(self, held: Range) -> Iterable[Key]:
        return (record.key for record in held.list(NAMESPACES) if record.head.deleting)

    async def reconcile(self, held: Range, key: Key) -> None:
        record = held.get(key)
        if record is None or not record.head.deleting:
            self._terminating.discard((key.cluster, key.name))
            return
        self._terminating.add((key.cluster, key.name))
        failures = [text for record in _contents(held, key) if (text := await self._delete(held, record))]
        remaining = _contents(held, key)
        scope = self._host.scope(key.cluster)
        if remaining:
            conditions = _conditions(remaining, failures)
            await objects.update(
                scope, DEFINITION, "", key.name, lambda obj: _with_conditions(obj, conditions), subresource="status"
            )
            if failures:
                raise StatusError(500, "InternalError", f"namespace {key.name} cannot be emptied: {failures[0]}")
            return
        await objects.update(scope, DEFINITION, "", key.name, _finalized, subresource="finalize")
        self._terminating.discard((key.cluster, key.name))

    async def _delete(self, held: Range, record: Record) -> str:
        """Deletes one object; the text of why it could not, or nothing."""
        if record.head.deleting:
            return ""
        definition = definition_of(self._host, record.key.cluster, record.key.resource)
        try:
            if definition is None:
                # Its API is gone, and with it whoever could have a say.
                await self._host.cell.settled([record.key])
                current = held.get(record.key)
                if current is not None:
                    await self._host.cell.commit([Change(record.key, None, None, current)])
            else:
                scope = self._host.scope(record.key.cluster)
                await objects.delete(scope, definition, record.key.namespace, record.key.name)
        except StatusError as error:
            if error.code != 404:
                return error.message
        return ""


def _contents(held: Range, namespace: Key) -> list[Record]:
    found: list[Record] = []
    for resource in list(held.resources(namespace.cluster)):
        found.extend(held.list(resource, namespace.cluster, namespace.name))
    return found


def _finalized(obj: Object) -> Object:
    spec = obj.setdefault("spec", {})
    spec["finalizers"] = [f for f in spec.get("finalizers") or () if f != FINALIZER]
    return obj


def _conditions(remaining: Sequence[Record], failures: Sequence[str]) -> list[Object]:
    counts: dict[str, int] = {}
    finalizers: dict[str, int] = {}
    for record in remaining:
        group, _, resource = record.key.resource.partition(":")[0].partition("/")
        name = resource if group == "core" else f"{resource}.{group}"
        counts[name] = counts.get(name, 0) + 1
        for finalizer in _finalizers(record):
            finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
    content = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(counts.items()))
    held_by = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
    return [
        _condition("NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"),
        _condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        _condition("NamespaceDeletionContentFailure", True, "ContentDeletionFailed", "; ".join(failures))
        if failures
        else _condition(
            "NamespaceDeletionContentFailure",
            False,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        _condition("NamespaceContentRemaining", True, "SomeResourcesRemain", f"Some resources are remaining: {content}"),
        _condition(
            "NamespaceFinalizersRemaining",
            True,
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {held_by}",
        )
        if held_by
        else _condition(
            "NamespaceFinalizersRemaining", False, "ContentHasNoFinalizers", "All content-preserving finalizers finished"
        ),
    ]


def _condition(kind: str, true: bool, reason: str, message: str) -> Object:
    return {"type": kind, "status": "True" if true else "False", "reason": reason, "message": message}


def _with_conditions(obj: Object, wanted: Sequence[Object]) -> Object:
    status = obj.setdefault("status", {})
    old = {c["type"]: c for c in status.get("conditions") or ()}
    now = timestamp()
    for condition in wanted:
        before = old.get(condition["type"])
        since = before["lastTransitionTime"] if before and before.get("status") == condition["status"] else now
        old[condition["type"]] = {**condition, "lastTransitionTime": since}
    status["conditions"] = list(old.values())
    return obj


def _finalizers(record: Record) -> list[str]:
    return orjson.loads(record.value)["metadata"].get("finalizers") or []
