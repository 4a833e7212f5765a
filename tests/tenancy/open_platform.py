"""Shards over one store in memory on which everybody may do everything: workspaces without RBAC and without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import orjson

from tenantry.apiserver import local_client, records
from tenantry.apiserver.admission.chain import AdmissionChain
from tenantry.apiserver.admission.dynamic import WholeAdmission
from tenantry.apiserver.authorization import Attributes, Decision, Verdict
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import AUTHENTICATED_GROUP, SYSTEM, User
from tenantry.http.messages import Reply, Response
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.rbac.cover import Rule
from tenantry.kube.status import StatusError
from tenantry.placement.map import RangeInfo, ShardInfo
from tenantry.placement.range_opening import OpenedRange
from tenantry.storage.keys import Key
from tenantry.storage.memory import MemoryStore
from tenantry.tenancy.authorization.cluster_authorizer import MayAccess
from tenantry.tenancy.wiring import Tenancy
from tenantry.tenancy.workspaces.admission.workspace_plugins import plugins
from tests.support.maps import MapInMemory
from tests.support.tenancies import TenantShard, changes_of
from tests.support.waiting import after_changes

T = TypeVar("T")
USER = User("ada", (AUTHENTICATED_GROUP,))


class Anybody:
    """An authorizer that lets everybody do everything, but for the deep questions in `refused` (verb, name)."""

    def __init__(self) -> None:
        self.refused: set[tuple[str, str]] = set()

    def authorize(self, attributes: Attributes) -> Decision:
        return Decision(Verdict.ALLOW)

    def allows_deep(self, attributes: Attributes) -> bool:
        return (attributes.verb, attributes.name) not in self.refused

    def may_access(self, user: User, cluster: str, *, owner: str = "") -> bool:
        return True

    def accessible(self, user: User) -> MayAccess:
        return lambda cluster, owner: True

    def accessible_at(self, user: User, parent: str, version: int) -> MayAccess | None:
        return None

    def is_privileged(self, user: User) -> bool:
        return True

    def rules(self, user: User, cluster: str, namespace: str) -> Sequence[Rule]:
        return ({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},)

    def role_rules(self, cluster: str, namespace: str, name: str) -> Sequence[Rule] | None:
        return None


class Map(MapInMemory):
    """Opens ranges on the platform's shards in turn."""

    def __init__(self, platform: OpenPlatform) -> None:
        super().__init__(())
        self._platform = platform
        self._openings = 0

    def shards(self) -> Sequence[ShardInfo]:
        return [ShardInfo(shard.name, shard.name, shard.tenancy.urls.external) for shard in self._platform.shards]

    async def open_range(self, labels: Mapping[str, str], after_version: int = 0) -> OpenedRange:
        self._openings += 1
        number = len(self.ranges()) + 1
        shard = self._platform.shards[self._openings % len(self._platform.shards)]
        info = RangeInfo(
            name=f"range-{number}",
            start=f"{number:03d}",
            end=f"{number:03d}~",
            shard=shard.name,
            capacity=self._platform.capacity,
            labels=labels,
        )
        await self.add(info)
        return OpenedRange(info.name, self.version)

    async def add(self, info: RangeInfo) -> None:
        (shard,) = (shard for shard in self._platform.shards if shard.name == info.shard)
        await shard.cell.acquire(info.name, info.start, info.end)
        self.put(info)


class OpenPlatform:
    """`shards[0]` owns the range `root`."""

    def __init__(self, shards: int, capacity: int, store: MemoryStore) -> None:
        self.capacity = capacity
        self.store = store
        self.authorizer = Anybody()
        self.map = Map(self)
        self.written = 0
        """Changes committed since the start."""
        self.shards = [self._shard(f"shard-{number + 1}") for number in range(shards)]
        self.map.put(RangeInfo(name="root", start="r", end="t", shard="shard-1", capacity=capacity))

    def _shard(self, name: str) -> TenantShard:
        shard = TenantShard(
            self.store,
            self.map,
            name=name,
            uid=f"{name}-uid-{id(self)}",
            url="https://tenantry.test:6443",
            opener=self.map.open_range,
            authorizer=self.authorizer,
            build_admission=admission_of_workspaces,
            peers=self,
            ca_certificate="-----BEGIN CERTIFICATE-----\n",
        )
        tenancy = shard.tenancy
        tenancy.runner.add(*tenancy.workspace_controllers(), *tenancy.export_controllers())
        shard.cell.commits.subscribe(self._count)
        return shard

    @property
    def tenancies(self) -> list[Tenancy]:
        return [shard.tenancy for shard in self.shards]

    @property
    def tenancy(self) -> Tenancy:
        return self.shards[0].tenancy

    def tenancy_of(self, cluster: str) -> Tenancy:
        return next(tenancy for tenancy in self.tenancies if tenancy.cell.owns(cluster))

    def _count(self, _: int, changes: Sequence[object]) -> None:
        self.written += len(changes)

    async def call(self, range_name: str, request: Request) -> Reply:
        """Peers: what the owner of a range answers, straight on its objects."""
        tenancy = next(tenancy for tenancy in self.tenancies if range_name in tenancy.cell.ranges)
        try:
            status, answer = await _serve(tenancy, request)
        except StatusError as error:
            return Response(error.code, orjson.dumps(error.to_object()))
        return Response(status, orjson.dumps(answer))

    async def create(self, cluster: str, definition: ResourceDefinition, obj: Object, user: User = USER) -> Object:
        return await local_client.create(self.tenancy_of(cluster).scopes.cluster(cluster), definition, obj, user=user)

    async def workspace(self, parent: str, name: str, *, user: User = USER, **spec: Any) -> Object:
        """Makes a workspace and waits until it is Ready."""
        await self.create(parent, self.tenancy.definitions.workspaces, workspace(name, **spec), user=user)
        return await self.ready(parent, name)

    async def ready(self, parent: str, name: str) -> Object:
        await self.until(lambda: self.phase(parent, name) == "Ready")
        found = self.get(parent, self.tenancy.definitions.workspaces, name)
        assert found is not None
        return found

    def phase(self, parent: str, name: str) -> str:
        found = self.get(parent, self.tenancy.definitions.workspaces, name)
        return (found.get("status") or {}).get("phase", "") if found else ""

    def get(self, cluster: str, definition: ResourceDefinition, name: str, namespace: str = "") -> Object | None:
        record = self.tenancy_of(cluster).cell.range_of(cluster).get(Key(cluster, definition.storage_key, namespace, name))
        return records.decode(record, definition, definition.storage_version) if record is not None else None

    def logical_cluster(self, cluster: str) -> Object | None:
        return self.get(cluster, self.tenancy.definitions.logical_clusters, "cluster")

    async def update(
        self, cluster: str, definition: ResourceDefinition, name: str, change: Callable[[Object], Object | None], **more: Any
    ) -> None:
        await local_client.update(
            self.tenancy_of(cluster).scopes.cluster(cluster), definition, more.pop("namespace", ""), name, change, **more
        )

    async def delete(self, cluster: str, definition: ResourceDefinition, name: str, namespace: str = "") -> None:
        await local_client.delete(self.tenancy_of(cluster).scopes.cluster(cluster), definition, namespace, name)

    async def until(self, condition: Callable[[], T]) -> T:
        """What `condition` gives, once it is true; looked at after each commit."""

        async def look() -> T:
            return condition()

        return await after_changes(look, self.map.subscribe, *map(changes_of, self.tenancies))


def workspace(name: str, **spec: Any) -> Object:
    obj: Object = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}}
    return obj | ({"spec": spec} if spec else {})


def admission_of_workspaces(**parts: Any) -> WholeAdmission:
    """The admission of workspaces alone."""
    names = ("cell", "directory", "definitions", "workspace_types", "scheduler", "authorizer")
    return AdmissionChain(plugins(**{name: parts[name] for name in names}))


@asynccontextmanager
async def running(shards: int = 1, *, capacity: int = 1000, store: MemoryStore | None = None) -> AsyncIterator[OpenPlatform]:
    platform = OpenPlatform(shards, capacity, store or MemoryStore())
    await asyncio.gather(*(shard.start() for shard in platform.shards))
    try:
        yield platform
    finally:
        for shard in platform.shards:
            await shard.stop()


async def _serve(tenancy: Tenancy, request: Request) -> tuple[int, Object]:
    _, _, cluster, _, group, _, plural, *rest = request.path.split("/")
    definition = tenancy.definitions.get(group, plural)
    scope = tenancy.scopes.cluster(cluster)
    name = rest[0] if rest else ""
    subresource = rest[1] if len(rest) > 1 else ""
    user = request.user or SYSTEM
    if request.method == "POST":
        return 201, await local_client.create(scope, definition, orjson.loads(await request.read_body(1 << 20)), user=user)
    found = local_client.read(scope, definition, "", name)
    if request.method == "PATCH":
        body = orjson.loads(await request.read_body(1 << 20))

        def merge(obj: Object) -> Object:
            for field_name, value in body["status"].items():
                if value is None:
                    obj["status"].pop(field_name, None)
                else:
                    obj["status"][field_name] = value
            return obj

        found = await local_client.update(scope, definition, "", name, merge, subresource=subresource, user=user)
    elif request.method == "DELETE":
        found = await local_client.delete(scope, definition, "", name, user=user)
    if found is None:
        raise StatusError(404, "NotFound", f"{plural} {name} not found")
    return 200, found
