"""Finds the parameters of policies: the objects to which bindings refer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tenantry.apiserver import records
from tenantry.apiserver.worker_threads import workers
from tenantry.base.time_slices import in_slices
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, split_api_version
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.selectors.labels import LabelSelector
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.record import Record
from tenantry.tenancy.admission.policies.remote_parameters import RemoteParameters, TooMany
from tenantry.tenancy.cluster_apis import ClusterApis

_AT_ONCE_BYTES = 32 << 10
_AT_ONCE_RECORDS = 100
"""So many objects are compared with a selector on the event loop, and so many bytes decoded."""
PARAMS_MAX = 1_000
PARAMS_BYTES_MAX = 8 << 20
"""The most parameters of one binding. Kubernetes has no such limit."""


class ParamKind(NamedTuple):
    """A kind of parameters in a cluster, as a fact: its scope."""

    cluster: str
    api_version: str
    kind: str


class Params(NamedTuple):
    """The parameters of a binding, as a fact: the object of this name or, without a name, those that the selector matches."""

    kind: ParamKind
    namespace: str
    name: str
    selector: LabelSelector


class ParamError(Exception):
    """Why there are no parameters. The text is Kubernetes', where it has one."""


class Parameters:
    """Answers from memory about clusters of this shard, and asks the owners of others."""

    def __init__(self, cell: Cell, apis: ClusterApis, remote: RemoteParameters) -> None:
        self._cell = cell
        self._apis = apis
        self._remote = remote

    def is_namespaced(self, kind: ParamKind) -> bool | None:
        """None where the cluster does not serve the kind. Raises LoopBudgetExceeded for a cluster of another shard, and
        Deferred."""
        self._require_here(kind.cluster)
        definition = self._definition(kind)
        return None if definition is None else definition.namespaced

    async def is_served_namespaced(self, kind: ParamKind) -> bool | None:
        """As `is_namespaced`, however long it takes. Raises StatusError."""
        if self._cell.owned(kind.cluster) is None:
            found = await self._remote.kind(kind.cluster, *split_api_version(kind.api_version), kind.kind)
            return None if found is None else found.namespaced
        await self._apis.read(kind.cluster)
        return self.is_namespaced(kind)

    def find(self, wanted: Params) -> Sequence[Object] | ParamError:
        """On the event loop. Raises LoopBudgetExceeded where that takes too long, and Deferred."""
        self._require_here(wanted.kind.cluster)
        definition = self._definition(wanted.kind)
        if definition is None:
            return ()
        if wanted.name:
            found = self._named(definition, wanted)
        else:
            range_ = self._cell.range_of(wanted.kind.cluster)
            if range_.count(definition.storage_key, wanted.kind.cluster, wanted.namespace or None) > _AT_ONCE_RECORDS:
                raise LoopBudgetExceeded
            found = [*self._selected(definition, wanted)]
        if sum(len(record.value) for record in found) > _AT_ONCE_BYTES:
            raise LoopBudgetExceeded
        return _decoded(found, definition, wanted.kind)

    async def find_all(self, wanted: Params) -> Sequence[Object] | ParamError:
        """As `find`, however long it takes. Raises StatusError."""
        if self._cell.owned(wanted.kind.cluster) is None:
            return await self._find_elsewhere(wanted)
        await self._apis.read(wanted.kind.cluster)
        definition = self._definition(wanted.kind)
        if definition is None:
            return ()
        if wanted.name:
            found = self._named(definition, wanted)
        else:
            found = []
            size = 0
            async for record in in_slices(self._selected(definition, wanted)):
                found.append(record)
                size += len(record.value)
                if len(found) > PARAMS_MAX or size > PARAMS_BYTES_MAX:
                    return _too_many()
        return await workers.run(wanted.kind.cluster, lambda: _decoded(found, definition, wanted.kind))

    async def _find_elsewhere(self, wanted: Params) -> Sequence[Object] | ParamError:
        cluster, namespace = wanted.kind.cluster, wanted.namespace
        kind = await self._remote.kind(cluster, *split_api_version(wanted.kind.api_version), wanted.kind.kind)
        if kind is None:
            return ()
        if wanted.name:
            return await self._remote.named(cluster, kind, namespace, wanted.name)
        try:
            return await self._remote.selected(cluster, kind, namespace, wanted.selector, PARAMS_MAX)
        except TooMany:
            return _too_many()

    def _require_here(self, cluster: str) -> None:
        if self._cell.owned(cluster) is None:
            raise LoopBudgetExceeded

    def _definition(self, kind: ParamKind) -> ResourceDefinition | None:
        group, version = split_api_version(kind.api_version)
        for definition in self._apis.for_cluster(kind.cluster).of_group(group):
            served = definition.versions.get(version)
            if definition.kind == kind.kind and definition.stored and served is not None and served.served:
                return definition
        return None

    def _named(self, definition: ResourceDefinition, wanted: Params) -> list[Record]:
        key = Key(wanted.kind.cluster, definition.storage_key, wanted.namespace, wanted.name)
        record = self._cell.range_of(wanted.kind.cluster).get(key)
        return [] if record is None else [record]

    def _selected(self, definition: ResourceDefinition, wanted: Params) -> Iterator[Record]:
        range_ = self._cell.range_of(wanted.kind.cluster)
        for record in range_.each(definition.storage_key, wanted.kind.cluster, wanted.namespace or None):
            if wanted.selector.matches(record.head.labels):
                yield record


def _too_many() -> ParamError:
    return ParamError(f"more than {PARAMS_MAX} parameters, or {PARAMS_BYTES_MAX} bytes of them, are selected")


def _decoded(found: Sequence[Record], definition: ResourceDefinition, kind: ParamKind) -> Sequence[Object]:
    version = split_api_version(kind.api_version)[1]
    ordered = sorted(found, key=lambda record: (record.key.namespace, record.key.name))
    return [records.decode(record, definition, version) for record in ordered]
