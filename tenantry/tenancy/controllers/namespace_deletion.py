"""The controller of terminating namespaces: it deletes their contents (Kubernetes' namespace controller)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import orjson

from tenantry.apiserver import local_client
from tenantry.base.time_slices import in_slices
from tenantry.controllers.controller import Retry
from tenantry.controllers.object_controller import ObjectController
from tenantry.kube.objects import Object, finalizers_of, timestamp
from tenantry.kube.status import StatusError
from tenantry.kube.types.namespace import DEFINITION, FINALIZER
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.controllers.purge import Purge
from tenantry.tenancy.resources import NAMESPACES

_NAMES_MAX = 200
"""The most types, or finalizers, that a condition names."""
_TEXTS_MAX = 10
"""The most failures that a condition names: many objects mostly fail for the same reason."""


class NamespaceDeletionController(ObjectController):
    """Deletes the contents of a terminating namespace, reports in conditions what remains, and removes the finalizer when it is
    empty.

    It does not poll: the removal of an object in the namespace enqueues the namespace again.
    """

    name = "namespace-deletion"
    workers = 8

    def __init__(self, *, scopes: ClusterScopes, purge: Purge) -> None:
        self._scopes = scopes
        self._purge = purge
        self._terminating: set[tuple[str, str]] = set()

    @property
    def resources(self) -> Sequence[str] | None:
        return None

    def keys(self, event: RecordEvent) -> Iterable[Key]:
        key = event.key
        if key.resource == NAMESPACES:
            if event.record is None:
                self._terminating.discard((key.cluster, key.name))
                return ()
            return (key,) if event.record.head.deleting else ()
        if event.record is None and self._terminating and (key.cluster, key.namespace) in self._terminating:
            return (Key(key.cluster, NAMESPACES, "", key.namespace),)
        return ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key if record.head.deleting else None for record in range_.each(NAMESPACES))

    def released(self, range_: Range) -> None:
        self._terminating = {place for place in self._terminating if place[0] not in range_}

    async def reconcile(self, range_: Range, key: Key) -> None:
        record = range_.get(key)
        if record is None or not record.head.deleting:
            return
        self._terminating.add((key.cluster, key.name))
        failures = await self._purge(range_, contents(range_, key))
        remaining = await Remaining.of(contents(range_, key))
        if remaining.counts or _is_kept(orjson.loads(record.value)):
            await self._report(key, remaining, failures)
        if remaining.counts:
            if failures:
                raise StatusError(500, "InternalError", f"namespace {key.name} cannot be emptied: {failures[0]}")
            return
        if next(contents(range_, key), None) is not None:
            raise Retry(0.0, "an object was being created in the namespace")
        await local_client.update(self._scopes.cluster(key.cluster), DEFINITION, "", key.name, _finalized, subresource="finalize")

    async def _report(self, key: Key, remaining: Remaining, failures: Sequence[str]) -> None:
        conditions = deletion_conditions(remaining, failures)

        def with_conditions(obj: Object) -> Object:
            return _with_conditions(obj, conditions)

        await local_client.update(
            self._scopes.cluster(key.cluster), DEFINITION, "", key.name, with_conditions, subresource="status"
        )


def contents(range_: Range, namespace: Key) -> Iterator[Record]:
    """All objects in a namespace, of all types. Iterate in slices."""
    for resource in range_.resources(namespace.cluster):
        yield from range_.each(resource, namespace.cluster, namespace.name)


class Remaining:
    """Counts objects by resource, and by finalizer."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.finalizers: dict[str, int] = {}

    @classmethod
    async def of(cls, records: Iterable[Record]) -> Remaining:
        found = cls()
        async for record in in_slices(records, 1):
            found._count(record)
        return found

    def _count(self, record: Record) -> None:
        group, _, resource = record.key.resource.partition(":")[0].partition("/")
        # As Kubernetes prints it: with the dot also for the core group.
        name = f"{resource}.{'' if group == 'core' else group}"
        self.counts[name] = self.counts.get(name, 0) + 1
        if b'"finalizers":' in record.value:
            for finalizer in finalizers_of(orjson.loads(record.value)):
                self.finalizers[finalizer] = self.finalizers.get(finalizer, 0) + 1


def _is_kept(namespace: Object) -> bool:
    """Whether the namespace has other finalizers, so that it and its conditions remain after it is empty."""
    others = [f for f in (namespace.get("spec") or {}).get("finalizers") or () if f != FINALIZER]
    return bool(others or finalizers_of(namespace))


def _finalized(obj: Object) -> Object:
    spec = obj.setdefault("spec", {})
    spec["finalizers"] = [f for f in spec.get("finalizers") or () if f != FINALIZER]
    return obj


def deletion_conditions(remaining: Remaining, failures: Sequence[str]) -> list[Object]:
    """The conditions of a terminating namespace, as Kubernetes' namespace controller sets them."""
    content = _joined(f"{name} has {count} resource instances" for name, count in remaining.counts.items())
    held_by = _joined(f"{name} in {count} resource instances" for name, count in remaining.finalizers.items())
    refused = ", ".join(sorted(set(failures))[:_TEXTS_MAX])
    return [
        _condition("NamespaceDeletionDiscoveryFailure", False, "ResourcesDiscovered", "All resources successfully discovered"),
        _condition(
            "NamespaceDeletionGroupVersionParsingFailure",
            False,
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        _condition("NamespaceDeletionContentFailure", True, "ContentDeletionFailed", refused)
        if refused
        else _condition(
            "NamespaceDeletionContentFailure",
            False,
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        _condition("NamespaceContentRemaining", True, "SomeResourcesRemain", f"Some resources are remaining: {content}")
        if content
        else _condition("NamespaceContentRemaining", False, "ContentRemoved", "All content successfully removed"),
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


def _joined(parts: Iterable[str]) -> str:
    listed = sorted(parts)
    return ", ".join(listed[:_NAMES_MAX]) + (f" and {len(listed) - _NAMES_MAX} more" if len(listed) > _NAMES_MAX else "")


def _condition(kind: str, true: bool, reason: str, message: str) -> Object:
    return {"type": kind, "status": "True" if true else "False", "reason": reason, "message": message}


def _with_conditions(obj: Object, wanted: Sequence[Object]) -> Object:
    status = obj.setdefault("status", {})
    old = {c.get("type"): c for c in status.get("conditions") or ()}
    now = timestamp()
    for condition in wanted:
        before = old.get(condition["type"])
        same = before is not None and before.get("status") == condition["status"]
        # Who wrote the condition before may have left out the time.
        since = (before or {}).get("lastTransitionTime") if same else None
        old[condition["type"]] = {**condition, "lastTransitionTime": since or now}
    status["conditions"] = list(old.values())
    return obj
