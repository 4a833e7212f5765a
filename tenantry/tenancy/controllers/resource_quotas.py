"""The controller of ResourceQuotas: it counts the usage again after deletions and changes of quotas (Kubernetes)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from tenantry.apiserver import local_client
from tenantry.controllers.object_controller import CollectionController, ObjectCollection, enqueue_where
from tenantry.kube.objects import Object
from tenantry.kube.quota import has_scopes, resource_of
from tenantry.kube.types.resource_quota import DEFINITION
from tenantry.kube.workloads.usage import EVALUATED, counted_by
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.quota_totals import QuotaTotals
from tenantry.tenancy.quotas import cluster_scoped, count, is_cluster_scoped
from tenantry.tenancy.resources import API_BINDINGS, CUSTOM_RESOURCE_DEFINITIONS, RESOURCE_QUOTAS

_TYPES = frozenset((CUSTOM_RESOURCE_DEFINITIONS, API_BINDINGS))
"""After an event of these, a logical cluster may have other types than before. What is used of a type that does not exist is not
known (Kubernetes)."""
_ALL_NAMESPACES = "*"


class ResourceQuotaController(CollectionController):
    """Sets the status of quotas. Admission charges creates; the controller counts for new and changed quotas, and after
    deletions.

    An `ObjectCollection` without a namespace means the quotas that count cluster-scoped objects.
    """

    name = "resource-quotas"

    def __init__(self, *, cell: Cell, apis: ClusterApis, scopes: ClusterScopes) -> None:
        self._cell = cell
        self._apis = apis
        self._scopes = scopes

    @property
    def resources(self) -> Sequence[str] | None:
        return None

    def keys(self, event: RecordEvent) -> Iterable[Key | ObjectCollection]:
        key = event.key
        if event.record is not None and key.resource not in _TYPES:
            return (key,) if key.resource == RESOURCE_QUOTAS else ()
        if not self._cell.owns(key.cluster):
            return ()
        if key.resource in _TYPES:
            has_any = self._cell.range_of(key.cluster).has_any(RESOURCE_QUOTAS, key.cluster, None)
            return (ObjectCollection(key.cluster, _ALL_NAMESPACES),) if has_any else ()
        has_any = self._cell.range_of(key.cluster).has_any(RESOURCE_QUOTAS, key.cluster, key.namespace or None)
        return (ObjectCollection(key.cluster, key.namespace),) if has_any else ()

    def initial_keys(self, range_: Range) -> Iterable[Key | None]:
        return (record.key for record in range_.each(RESOURCE_QUOTAS))

    async def reconcile(self, range_: Range, key: Key | ObjectCollection) -> None:
        if isinstance(key, ObjectCollection):
            namespace = key.namespace if key.namespace != _ALL_NAMESPACES else None
            of_namespace = range_.each(RESOURCE_QUOTAS, key.cluster, namespace)
            quotas = of_namespace if key.namespace else cluster_scoped(range_, key.cluster)
            await enqueue_where(self.enqueue, quotas, lambda quota: True)
            return
        if range_.get(key) is None:
            return
        await self._apis.read(key.cluster)
        record = range_.get(key)
        if record is None:
            return
        spec = orjson.loads(record.value).get("spec")
        wanted = {counted_by(name) for name in (spec or {}).get("hard") or ()}
        evaluated = [d for r in EVALUATED if r in wanted and (d := self._apis.definition(key.cluster, *r)) and not d.custom]
        async with QuotaTotals(range_, key, {"spec": spec}, evaluated) as totals:

            def counted(quota: Object) -> Object | None:
                if quota.get("spec") != spec:
                    # It is read again, because it has changed.
                    return None
                hard = dict((quota.get("spec") or {}).get("hard") or {})
                status = {"hard": hard, "used": self._used(range_, key, quota, hard, totals)} if hard else {}
                return {**quota, "status": status} if (quota.get("status") or {}) != status else None

            await local_client.update(
                self._scopes.cluster(key.cluster), DEFINITION, key.namespace, key.name, counted, subresource="status"
            )

    def _used(self, range_: Range, key: Key, quota: Object, hard: Iterable[str], totals: QuotaTotals) -> dict[str, str]:
        """What is used of each limit, as far as it is known what that counts."""
        summed = totals.now()
        evaluated = {definition.group_resource for definition in totals.definitions}
        whole_cluster, scoped = is_cluster_scoped(quota), has_scopes(quota)
        used: dict[str, str] = {}
        for name in hard:
            resource = resource_of(name)
            about = counted_by(name)
            if about is not None and (about in evaluated or resource is None):
                used[name] = summed.get(name, "0")
            elif resource is not None and (definition := self._apis.definition(key.cluster, *resource)) is not None:
                used[name] = "0" if scoped else str(count(range_, key, definition, whole_cluster=whole_cluster))
        return used
