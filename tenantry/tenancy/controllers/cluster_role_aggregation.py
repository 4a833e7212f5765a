"""The controller of aggregated ClusterRoles: it copies the rules of the roles that an aggregationRule selects (Kubernetes)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from tenantry.apiserver import local_client
from tenantry.apiserver.worker_threads import workers
from tenantry.base.time_slices import in_slices
from tenantry.controllers.object_controller import CollectionController, ObjectCollection
from tenantry.kube.objects import Object
from tenantry.kube.rbac.aggregation import aggregated_rules, is_aggregated, selectors_of
from tenantry.kube.status import StatusError
from tenantry.kube.types.rbac import CLUSTER_ROLES as DEFINITION
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record, RecordEvent
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.resources import CLUSTER_ROLES

_FEW = 64
"""The most label sets of changed roles that are kept. With more, all aggregated roles of the cluster are reconciled."""
_COLLECTED_BYTES_MAX = 8 << 20
"""The most bytes of selected roles: more than any object may have."""
_SLICE_BYTES = 32 << 10
_MARK = b'"aggregationRule":{'


class ClusterRoleAggregationController(CollectionController):
    """An `ObjectCollection` means the aggregated roles of a cluster that select any of the changed roles."""

    name = "cluster-role-aggregation"

    def __init__(self, *, scopes: ClusterScopes) -> None:
        self._scopes = scopes
        self._collecting: dict[str, set[Key]] = {}
        """Cluster → its aggregated roles."""
        self._changed: dict[str, list[Mapping[str, str]]] = {}
        """Cluster → labels of changed roles, until `_look` compares them with the selectors."""

    @property
    def resources(self) -> Sequence[str] | None:
        return (CLUSTER_ROLES,)

    def keys(self, event: RecordEvent) -> Iterable[Key | ObjectCollection]:
        key = event.key
        labels = [state.head.labels for state in (event.record, event.previous) if state is not None and state.head.labels]
        own = self._note(key, event.record)
        collecting = self._collecting.get(key.cluster, ())
        if not labels or len(collecting) == own:
            return (key,) if own else ()
        changed = self._changed.setdefault(key.cluster, [])
        if len(changed) <= _FEW:
            changed.extend(labels)
        look = ObjectCollection(key.cluster)
        return (key, look) if own else (look,)

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key if self._note(record.key, record) else None for record in range_.each(CLUSTER_ROLES))

    def released(self, range_: Range) -> None:
        tables: tuple[dict[str, Any], ...] = (self._collecting, self._changed)
        for table in tables:
            for cluster in [cluster for cluster in table if cluster in range_]:
                del table[cluster]

    def _note(self, key: Key, record: Record | None) -> bool:
        """Updates `_collecting`. Returns whether the role is aggregated."""
        if record is not None and _MARK in record.value:
            self._collecting.setdefault(key.cluster, set()).add(key)
            return True
        collecting = self._collecting.get(key.cluster)
        if collecting is not None:
            collecting.discard(key)
            if not collecting:
                del self._collecting[key.cluster]
        return False

    async def _look(self, range_: Range, cluster: str) -> None:
        """Enqueues the aggregated roles that select any of the changed roles."""
        labels = self._changed.pop(cluster, [])
        async for key in in_slices(tuple(self._collecting.get(cluster, ())), 1):
            record = range_.get(key)
            if record is None:
                continue
            collecting = selectors_of(orjson.loads(record.value)) if len(labels) <= _FEW else ()
            if len(labels) > _FEW or any(selector.matches(each) for selector in collecting for each in labels):
                self.enqueue(key)

    async def reconcile(self, range_: Range, key: Key | ObjectCollection) -> None:
        if isinstance(key, ObjectCollection):
            await self._look(range_, key.cluster)
            return
        record = range_.get(key)
        if record is None or record.head.deleting:
            return
        role = orjson.loads(record.value)
        if not is_aggregated(role):
            return
        # Labels are in the head, so only selected roles are decoded.
        collecting = selectors_of(role)
        parts: list[Object] = []
        size = 0
        async for each in in_slices(range_.each(CLUSTER_ROLES, key.cluster), 1):
            if each.key != key and any(selector.matches(each.head.labels) for selector in collecting):
                size += len(each.value)
                if size > _COLLECTED_BYTES_MAX:
                    raise StatusError(422, "Invalid", f"{key.name} collects more than {_COLLECTED_BYTES_MAX} bytes of roles")
                parts.append(orjson.loads(each.value))
        aggregate = partial(aggregated_rules, role, parts)
        wanted = await workers.run(key.cluster, aggregate) if size > _SLICE_BYTES else aggregate()

        def aggregated(obj: Object) -> Object | None:
            if (obj.get("rules") or []) == wanted:
                return None
            obj["rules"] = wanted
            return obj

        await local_client.update(self._scopes.cluster(key.cluster), DEFINITION, "", key.name, aggregated)
