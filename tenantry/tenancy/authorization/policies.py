"""Compiles the RBAC policies of clusters: from memory for ranges of this shard, from the catalog's copies for others.

A policy is compiled on demand. Subscribers get the updates for every binding and role that changes after that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import orjson

from tenantry.base.broadcast import Broadcast
from tenantry.base.cache import Cache
from tenantry.base.time_slices import in_slices
from tenantry.kube.objects import Object
from tenantry.kube.rbac.policy_rules import CompiledRules
from tenantry.placement.catalog import Catalog
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import RecordEvent
from tenantry.tenancy.authorization.cluster_bindings import ClusterBindings
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from tenantry.tenancy.well_known import SYSTEM_ADMIN

RBAC_GROUP = "rbac.authorization.k8s.io"
RBAC_RESOURCES = (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS)
_BINDINGS = (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS)
_ROLES_BYTES_MAX = 16 << 20
_SLICE_BINDINGS = 100
_SLICE_BYTES = 64 << 10
"""The most that is compiled in one turn of the event loop, a fraction of a millisecond."""

Update = Callable[[ClusterBindings], None]
"""Applies a change of the cluster's RBAC to its policy."""

Subscriber = Callable[[str | None, Update | None], None]
"""Called with (cluster, update): decisions in the cluster (None: in all) are invalid. `update` applies the change to its
policy; None: the policy is invalid too."""


def _nothing(policy: ClusterBindings) -> None:
    """The update for a changed role: policies look up roles on demand."""


def _put(value: bytes) -> Update | None:
    return (lambda policy: policy.put(orjson.loads(value))) if len(value) <= _SLICE_BYTES else None


def _remove(namespace: str, name: str, value: bytes) -> Update | None:
    return (lambda policy: policy.remove(namespace, name)) if len(value) <= _SLICE_BYTES else None


class Policies:
    """Compiles policies, and notifies subscribers of changes."""

    def __init__(self, *, cell: Cell, catalog: Catalog) -> None:
        self._cell = cell
        self._catalog = catalog
        self._everywhere: ClusterBindings | None = None
        # Large roles too: otherwise they would be compiled for each request.
        self._roles: Cache[tuple[Key, int], CompiledRules] = Cache(
            "compiled_roles",
            bytes_max=_ROLES_BYTES_MAX,
            entry_bytes_max=_ROLES_BYTES_MAX // 4,
            size=lambda rules: rules.bytes,
            keeps_large=True,
        )
        self._subscribers: Broadcast[[str | None, Update | None]] = Broadcast("a subscriber of RBAC policies")
        for resource in RBAC_RESOURCES:
            self._catalog.subscribe(resource, self._catalog_changed)

    @property
    def everywhere(self) -> ClusterBindings:
        """The policy of system:admin, which applies in every cluster."""
        if self._everywhere is None:
            self._everywhere = self.compile(SYSTEM_ADMIN)
        return self._everywhere

    def empty(self, cluster: str) -> ClusterBindings:
        """A policy of a cluster without bindings, for `fill`."""
        return ClusterBindings(lambda namespace, name: self.role(cluster, namespace, name))

    def compile(self, cluster: str, resources: Sequence[str] = _BINDINGS) -> ClusterBindings:
        """The policy of a cluster. `resources`: the kinds of bindings that are needed."""
        policy = self.empty(cluster)
        for raw in self._bindings(cluster, resources):
            policy.put(orjson.loads(raw))
        return policy

    async def fill(self, policy: ClusterBindings, cluster: str, resources: Sequence[str] = _BINDINGS) -> None:
        """Compiles a policy that is `empty`, in slices. The caller must apply updates that are published meanwhile."""
        async for raw in in_slices(self._bindings(cluster, resources), 1):
            async for _ in in_slices(policy.putting(orjson.loads(raw))):
                pass

    def is_large(self, cluster: str, resources: Sequence[str] = _BINDINGS) -> bool:
        """Whether a policy has to be compiled in slices."""
        total = 0
        for count, raw in enumerate(self._bindings(cluster, resources), 1):
            total += len(raw)
            if count > _SLICE_BINDINGS or total > _SLICE_BYTES:
                return True
        return False

    def subscribe(self, changed: Subscriber) -> Callable[[], None]:
        return self._subscribers.subscribe(changed)

    def changed(self, event: RecordEvent) -> None:
        """An RBAC object of a cluster of this shard changed."""
        key, record, previous = event.key, event.record, event.previous
        update: Update | None = _nothing
        if key.resource in _BINDINGS:
            update = _remove(key.namespace, key.name, previous.value if previous is not None else b"")
            if update is not None and record is not None:
                update = _put(record.value)
        self._publish(key.cluster, update)

    def forget_all(self) -> None:
        self._publish(None, None)

    def _catalog_changed(self, resource: str, cluster: str, name: str, _: Object | None) -> None:
        # Clusters of this shard are updated by `changed`: not all of their RBAC is copied.
        if self._range_of(cluster) is not None and cluster != SYSTEM_ADMIN:
            return
        update: Update | None = _nothing
        if resource in _BINDINGS:
            entry = self._catalog.entry(resource, cluster, name)
            update = _put(entry.raw) if entry is not None else None
        self._publish(cluster, update)

    def _publish(self, cluster: str | None, update: Update | None) -> None:
        if cluster in (None, SYSTEM_ADMIN):
            self._everywhere = None
            cluster = update = None
        self._subscribers.send(cluster, update)

    def role(self, cluster: str, namespace: str, name: str) -> CompiledRules | None:
        """A Role or, if `namespace` is empty, a ClusterRole in a cluster: that of system:admin, otherwise the cluster's own.

        In this order, so that a role in the cluster cannot change what a binding to a system role means. Such names are refused
        (`tenantry.tenancy.admission.system_roles`), but older objects may have them.
        """
        if namespace:
            return self._role(cluster, ROLES, namespace, name)
        found = self._role(SYSTEM_ADMIN, CLUSTER_ROLES, "", name)
        if found is None and cluster != SYSTEM_ADMIN:
            found = self._role(cluster, CLUSTER_ROLES, "", name)
        return found

    def _range_of(self, cluster: str) -> Range | None:
        return self._cell.range_of(cluster) if self._cell.owns(cluster) else None

    def _bindings(self, cluster: str, resources: Sequence[str]) -> Iterator[bytes]:
        """The encoded bindings of a cluster, read lazily."""
        range_ = self._range_of(cluster)
        for resource in resources:
            if range_ is not None:
                for record in range_.each(resource, cluster):
                    yield record.value
            else:
                for name in self._catalog.names_in(resource, cluster):
                    entry = self._catalog.entry(resource, cluster, name)
                    if entry is not None:
                        yield entry.raw

    def _role(self, cluster: str, resource: str, namespace: str, name: str) -> CompiledRules | None:
        range_ = self._range_of(cluster)
        key = Key(cluster, resource, namespace, name)
        if range_ is not None:
            record = range_.get(key)
            return self._compiled(key, record.version, record.value) if record is not None else None
        # Only ClusterRoles are copied.
        copy = self._catalog.entry(resource, cluster, name) if not namespace else None
        return self._compiled(key, -copy.revision, copy.raw) if copy is not None else None

    def _compiled(self, key: Key, version: int, value: bytes) -> CompiledRules:
        """The compiled rules of a role, cached for all clusters that bind it. `version`: negative for copies."""
        return self._roles.compute((key, version), lambda: CompiledRules(orjson.loads(value).get("rules") or []))
