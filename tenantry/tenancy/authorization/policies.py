"""Where the RBAC of a cluster comes from: memory for clusters held here, the catalog for the flagged RBAC of all others.

Policies are compiled when they are asked for; who asked keeps them until it is told that an RBAC object of the cluster changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import orjson

from tenantry.cache import Cache, size_of
from tenantry.kube.objects import Object
from tenantry.kube.rbac.rules import CompiledRules
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.authorization.policy import Policy
from tenantry.tenancy.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from tenantry.tenancy.well_known import SYSTEM_ADMIN

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

RBAC_GROUP = "rbac.authorization.k8s.io"
RBAC_RESOURCES = (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS)
_ROLES_BYTES_MAX = 16 << 20


class Policies:
    """Makes policies. `changed` subscribers learn which cluster's policy and decisions are void (None: all)."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._everywhere: Policy | None = None
        self._roles: Cache[tuple[Key, int], CompiledRules] = Cache(
            "compiled_roles", bytes_max=_ROLES_BYTES_MAX, entry_bytes_max=_ROLES_BYTES_MAX // 4
        )
        self._subscribers: list[Callable[[str | None], None]] = []
        for resource in RBAC_RESOURCES:
            host.catalog.subscribe(resource, self._catalog_changed)

    @property
    def everywhere(self) -> Policy:
        """What system:admin grants in every cluster."""
        if self._everywhere is None:
            self._everywhere = self.compile(SYSTEM_ADMIN)[0]
        return self._everywhere

    def compile(self, cluster: str) -> tuple[Policy, int]:
        """The policy of a cluster, and the bytes that it takes beside the roles of system:admin."""
        shared: list[CompiledRules] = []

        def rules_of(namespace: str, name: str) -> CompiledRules | None:
            found = self.role(cluster, namespace, name)
            if found is not None and not namespace and found is self._role(SYSTEM_ADMIN, CLUSTER_ROLES, "", name):
                shared.append(found)
            return found

        cluster_bindings, bindings = self._objects(cluster, CLUSTER_ROLE_BINDINGS), self._objects(cluster, ROLE_BINDINGS)
        policy = Policy(cluster_bindings, bindings, rules_of)
        return policy, size_of(policy, shared=shared)

    def subscribe(self, changed: Callable[[str | None], None]) -> Callable[[], None]:
        self._subscribers.append(changed)
        return lambda: self._subscribers.remove(changed) if changed in self._subscribers else None

    def forget(self, cluster: str) -> None:
        """An RBAC object of the cluster changed."""
        if cluster == SYSTEM_ADMIN:
            self.forget_all()
        else:
            self._publish(cluster)

    def forget_all(self) -> None:
        self._everywhere = None
        self._publish(None)

    def _catalog_changed(self, _: str, cluster: str, *__: object) -> None:
        self.forget(cluster)

    def _publish(self, cluster: str | None) -> None:
        for subscriber in list(self._subscribers):
            subscriber(cluster)

    def role(self, cluster: str, namespace: str, name: str) -> CompiledRules | None:
        """A Role or, without a namespace, a ClusterRole as a cluster sees it: that of system:admin, else its own.

        In this order, because a binding must not change its meaning when somebody makes or deletes a role in the cluster. Such
        names are refused (`tenantry.tenancy.admission.system_roles`), but may have been stored before they were.
        """
        if namespace:
            return self._role(cluster, ROLES, namespace, name)
        found = self._role(SYSTEM_ADMIN, CLUSTER_ROLES, "", name)
        if found is None and cluster != SYSTEM_ADMIN:
            found = self._role(cluster, CLUSTER_ROLES, "", name)
        return found

    def _held(self, cluster: str) -> Range | None:
        return self._host.cell.range_of(cluster) if self._host.cell.owns(cluster) else None

    def _objects(self, cluster: str, resource: str) -> Iterable[Object]:
        held = self._held(cluster)
        if held is not None:
            return [orjson.loads(record.value) for record in held.list(resource, cluster)]
        return [obj for _, _, obj in self._host.catalog.list(resource, cluster)]

    def _role(self, cluster: str, resource: str, namespace: str, name: str) -> CompiledRules | None:
        held = self._held(cluster)
        key = Key(cluster, resource, namespace, name)
        if held is not None:
            record = held.get(key)
            return self._compiled(key, record.version, record.value) if record is not None else None
        # Only what holds in a whole cluster is copied.
        copy = self._host.catalog.entry(resource, cluster, name) if not namespace else None
        return self._compiled(key, -copy.revision, copy.raw) if copy is not None else None

    def _compiled(self, key: Key, version: int, value: bytes) -> CompiledRules:
        """Compiled once for all clusters that bind the role: those of system:admin are bound in every one. Copies have negative
        versions."""
        return self._roles.compute((key, version), lambda: CompiledRules(orjson.loads(value).get("rules") or []))
