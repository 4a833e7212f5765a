"""Shards over a store in memory, without HTTP and without sessions: they own what the test's map says.

`TenantShard` is a cell and its tenancy, as wired in a process; `ServedShard` answers requests with real authorization, has views,
and writes as the system does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import orjson

from tenantry.apiserver.admission.chain import AdmissionChain
from tenantry.apiserver.admission.dynamic import WholeAdmission
from tenantry.apiserver.admission.webhooks.call_context import WebhookCalls
from tenantry.apiserver.authentication.authenticator import Authenticator, UnionAuthenticator
from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.negotiation import PROTOBUF
from tenantry.apiserver.path_resolver import PathResolver
from tenantry.apiserver.pipeline import Pipeline
from tenantry.apiserver.records import parse_head
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Connector
from tenantry.apiserver.user import User
from tenantry.http.messages import Reply, Response
from tenantry.kube.codec import protobuf
from tenantry.kube.objects import Object
from tenantry.placement.map import RangeInfo, ShardInfo
from tenantry.placement.paths.directory import Directory
from tenantry.placement.range_opening import OpenedRange, RangeOpener, RangeOpening
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.memory import MemoryStore
from tenantry.storage.range import Range
from tenantry.tenancy.admission.admission_chain import build
from tenantry.tenancy.admission.path_annotation import PathAnnotationAdmission
from tenantry.tenancy.admission.system_finalizers import SystemFinalizersAdmission
from tenantry.tenancy.exports.admission.export_plugins import plugins
from tenantry.tenancy.exports.consumers import consumers_key, is_open
from tenantry.tenancy.exports.read_bindings import decoded
from tenantry.tenancy.exports.update_object import revise
from tenantry.tenancy.path_resolvers import RangesResolver
from tenantry.tenancy.replication.admission.cached_resource import plugins as cached_resource_plugins
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORTS
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.wiring import Tenancy
from tenantry.tenancy.workspaces.role_copies_controller import RoleCopiesController
from tenantry.virtual.access_changes import AccessChanges
from tenantry.virtual.builtin_views import builtin_views
from tenantry.virtual.copied_objects import CopiedObjects
from tenantry.virtual.installed_views import installed_views, types_of
from tenantry.virtual.services_resolver import ServicesResolver, load_views
from tenantry.virtual.view import View, ViewContext
from tests.support.maps import MapInMemory
from tests.support.people import MASTER
from tests.support.waiting import Subscribe, after_changes, until

URL = "https://tenantry.example:6443"
SCHEMA_VERSION = {
    "name": "v1",
    "served": True,
    "storage": True,
    "subresources": {"status": {}},
    "schema": {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": {"size": {"type": "integer"}}},
            "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
        },
    },
}


def changes_of(tenancy: Tenancy) -> Subscribe:
    """What a shard sees change: every commit in its ranges, the ranges that it acquires, and the catalog."""

    def subscribe(changed: Callable[[], None]) -> Callable[[], None]:
        def acquired(range_: Range) -> Callable[[], None]:
            changed()
            return range_.subscribe(lambda _: changed())

        stops = [tenancy.local_ranges.follow(acquired), tenancy.catalog.subscribe(None, lambda *_: changed())]

        def stop() -> None:
            for each in stops:
                each()

        return stop

    return subscribe


async def open_no_range(labels: Mapping[str, str], after_version: int) -> OpenedRange:
    raise AssertionError("no test opens a range here")


class NoPeers:
    async def call(self, range_name: str, request: Request) -> Reply:
        return Response(200, orjson.dumps({"passed": range_name, "path": request.path}))


def admission_of_exports(*, definitions: SystemDefinitions, directory: Directory, **parts: Any) -> WholeAdmission:
    """The admission of exports alone."""
    own = plugins(**{name: parts[name] for name in ("exports", "claims", "authorizer")})
    paths = PathAnnotationAdmission(directory=directory)
    cached = cached_resource_plugins(**{name: parts[name] for name in ("apis", "publications", "authorizer")})
    return AdmissionChain([SystemFinalizersAdmission(definitions=definitions), *own, *cached, paths])


class TenantShard:
    """A shard that owns the ranges that the map gives to its name.

    `parts`: what its tenancy is made of beside the usual.
    """

    def __init__(
        self,
        store: MemoryStore,
        range_map: MapInMemory,
        *,
        opener: RangeOpener,
        name: str,
        uid: str = "",
        url: str = URL,
        **parts: Any,
    ) -> None:
        self.store = store
        self.map = range_map
        self.name = name
        self.cell = Cell(store, uid or f"uid-{name}", parse_head)
        opening = RangeOpening(range_map, opener)
        self.tenancy = Tenancy(
            name=name, cell=self.cell, hubs=Hubs(), range_map=range_map, opening=opening, urls=Urls(url), **parts
        )

    async def start(self) -> None:
        for info in self.map.ranges():
            if info.shard == self.name:
                await self.cell.acquire(info.name, info.start, info.end)
        await self.tenancy.start()

    async def idle(self, condition: Callable[[], object] = lambda: True) -> None:
        """Returns when no controller has anything to do and the condition holds."""
        await until(lambda: self.tenancy.runner.idle and condition())

    async def stop(self) -> None:
        await self.tenancy.stop()
        await self.cell.close()


class ServedShard(TenantShard):
    """A context manager. `here` owns `root` = ["r", "t") and `range-2` = ["000", "001"); `there` owns `range-9` = ["900", "901"),
    and is another one over the same store, if a test makes it at all."""

    def __init__(
        self,
        *views: type[View],
        store: MemoryStore | None = None,
        name: str = "here",
        authenticator: Authenticator | None = None,
        whole_admission: bool = False,
        ca_certificate: str = "",
        webhooks: WebhookCalls | None = None,
        **settings: Any,
    ) -> None:
        infos = [
            RangeInfo(name="root", start="r", end="t", shard="here", labels={"region": "eu"}),
            RangeInfo(name="range-2", start="000", end="001", shard="here", labels={"region": "us"}),
            RangeInfo(name="range-9", start="900", end="901", shard="there", labels={"region": "us"}),
        ]
        self.connectors: dict[tuple[str, str, str], Connector] = {}
        super().__init__(
            store or MemoryStore(),
            MapInMemory(infos, [ShardInfo(shard, f"uid-{shard}", URL) for shard in ("here", "there")]),
            name=name,
            build_admission=build if whole_admission else admission_of_exports,
            peers=NoPeers(),
            opener=open_no_range,
            connectors=self.connectors,
            ca_certificate=ca_certificate,
            types=types_of(views),
            webhooks=webhooks,
        )
        tenancy = self.tenancy
        self.controllers = list(tenancy.export_controllers(**settings))
        copies = RoleCopiesController(cell=self.cell, definitions=tenancy.definitions, copies=tenancy.copies)
        tenancy.runner.add(*self.controllers, *tenancy.replication_controllers(), copies)
        self.collections = self.tenancy.collections
        self.context = ViewContext(
            authorizer=tenancy.authorizer,
            definitions=tenancy.definitions,
            directory=tenancy.directory,
            access_changes=AccessChanges(tenancy.catalog, tenancy.directory, tenancy.local_ranges),
            collections=self.collections,
            copies=CopiedObjects(tenancy.catalog),
            exported=tenancy.apis.exported,
        )
        stock = builtin_views(
            self.context, catalog=tenancy.catalog, exports=tenancy.exports, apis=tenancy.apis, replication=tenancy.replication
        )
        wanted = [view for view in stock if not views or type(view) in views]
        own = [made for made in views if made not in {type(view) for view in stock}] if views else installed_views()
        self.views = load_views(wanted, self.context, own)
        services = ServicesResolver(tenancy.directory, tenancy.scopes, self.views, shard_name=name, ranges=self.cell.ranges)
        clusters = tenancy.clusters
        self.ranges = RangesResolver(
            tenancy.range_map,
            {"clusters": clusters, "services": services},
            ranges=self.cell.ranges,
            is_privileged=tenancy.authorizer.is_privileged,
        )
        resolvers: dict[str, PathResolver] = {"services": services, "clusters": clusters, "ranges": self.ranges}
        self.pipeline = Pipeline(
            resolvers,
            authenticator or UnionAuthenticator(anonymous=True),
            root=lambda: tenancy.scopes.cluster("root"),
            root_cluster="root",
            forward=tenancy.peers.call,
        )

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def until(self, done: Callable[[], Any]) -> Any:
        """What `done` gives, once it is true; looked at after every commit."""

        async def look() -> Any:
            return done()

        return await after_changes(look, changes_of(self.tenancy))

    def get(self, cluster: str, resource: str, name: str, namespace: str = "") -> Object | None:
        record = self.cell.range_of(cluster).get(Key(cluster, resource, namespace, name))
        return decoded(record) if record is not None else None

    async def put(self, cluster: str, group: str, plural: str, obj: Object) -> None:
        """As the system writes it, without admission."""
        await self.cell.commit([self.tenancy.changes.created(self.tenancy.definitions.get(group, plural), cluster, obj)])

    async def edit(self, cluster: str, group: str, plural: str, name: str, change: Callable[[Object], object]) -> None:
        """Changes an object as the system does, without admission."""
        definition = self.tenancy.definitions.get(group, plural)

        def changed(obj: Object) -> bool:
            change(obj)
            return True

        await revise(self.cell, self.tenancy.changes, definition, Key(cluster, definition.storage_key, "", name), changed)

    async def namespace(self, cluster: str, name: str) -> None:
        await self.put(
            cluster,
            "",
            "namespaces",
            {"metadata": {"name": name}, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}},
        )

    async def cluster(self, cluster: str, path: str = "", *, owner: str = "", **fields: Any) -> None:
        """A logical cluster that is Ready; `owner` may do everything in it. With a path, its workspace too."""
        annotations = {"kcp.io/path": path} if path else {}
        logical_cluster: Object = {
            "metadata": {"name": "cluster", "annotations": annotations},
            "spec": {},
            "status": {"phase": "Ready"},
        }
        for field, value in fields.items():
            logical_cluster[field] = {**logical_cluster[field], **value}
        await self.put(cluster, "core.kcp.io", "logicalclusters", logical_cluster)
        if owner:
            await self.bind_role(cluster, "workspace-admin", "cluster-admin", owner)
        if path:
            parent, _, name = path.rpartition(":")
            home = self.tenancy.directory.cluster_of(parent)
            assert home is not None
            workspace: Object = {"metadata": {"name": name}, "spec": {"cluster": cluster}, "status": {"phase": "Ready"}}
            await self.put(home, "tenancy.kcp.io", "workspaces", workspace)

    async def role(self, cluster: str, name: str, *rules: Object) -> None:
        await self.put(cluster, "rbac.authorization.k8s.io", "clusterroles", {"metadata": {"name": name}, "rules": list(rules)})

    async def bind_role(self, cluster: str, name: str, role: str, *users: str, group: bool = False) -> None:
        kind = "Group" if group else "User"
        subjects = [{"kind": kind, "apiGroup": "rbac.authorization.k8s.io", "name": each} for each in users]
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        binding: Object = {"metadata": {"name": name}, "roleRef": reference, "subjects": subjects}
        await self.put(cluster, "rbac.authorization.k8s.io", "clusterrolebindings", binding)

    async def export(
        self,
        cluster: str,
        name: str = "cowboys",
        *,
        group: str = "wild.west",
        claims: Sequence[Object] = (),
        version: Object = SCHEMA_VERSION,
        **spec: Any,
    ) -> None:
        """A schema and an export of it, named by its plural; returns when it has an identity. `version`: that of the schema."""
        kind = name[:-1].capitalize()
        names = {"plural": name, "singular": name[:-1], "kind": kind, "listKind": f"{kind}List"}
        schema: Object = {
            "metadata": {"name": f"v1.{name}.{group}"},
            "spec": {"group": group, "names": names, "scope": "Namespaced", "versions": [version]},
        }
        await self.put(cluster, "apis.kcp.io", "apiresourceschemas", schema)
        whole = {"resources": [{"name": name, "group": group, "schema": f"v1.{name}.{group}", "storage": {"crd": {}}}], **spec}
        if claims:
            whole["permissionClaims"] = list(claims)
        await self.put(cluster, "apis.kcp.io", "apiexports", {"metadata": {"name": name}, "spec": whole})
        await self.until(lambda: self.identity(cluster, name))

    def identity(self, cluster: str, name: str) -> str:
        found = self.tenancy.catalog.get(API_EXPORTS, cluster, name) or {}
        return (found.get("status") or {}).get("identityHash") or ""

    async def call(self, method: str, path: str, who: User, body: Any = None, query: str = "", **headers: str) -> tuple[int, Any]:
        """(status, decoded answer) of a request. `body`: a value, or the bytes."""
        payload = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)

        async def read(limit_bytes: int) -> bytes:
            return payload

        sent = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        reply = await self.pipeline(Request(method, path, query, sent, read, user=who))
        assert isinstance(reply, Response)
        if reply.content_type == PROTOBUF:
            return reply.status, protobuf.decode(reply.body)
        try:
            return reply.status, orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            return reply.status, reply.body.decode()

    async def bind(
        self, cluster: str, export_path: str, name: str, *, claims: Sequence[Object] = (), who: User = MASTER
    ) -> Object:
        """Creates an APIBinding by request, and returns it when it is Bound, and its provider sees it."""
        spec: Object = {"reference": {"export": {"path": export_path, "name": name}}}
        if claims:
            spec["permissionClaims"] = list(claims)
        body = {"apiVersion": "apis.kcp.io/v1alpha2", "kind": "APIBinding", "metadata": {"name": name}, "spec": spec}
        status, answer = await self.call("POST", f"/clusters/{cluster}/apis/apis.kcp.io/v1alpha2/apibindings", who, body)
        assert status == 201, answer
        binding = await self.until(lambda: self.bound(cluster, name))
        range_ = self.cell.range_of(cluster)
        place = consumers_key(range_, (binding["status"]["apiExportClusterName"], name))
        await self.until(lambda: is_open(range_.get(place)))
        return binding

    def bound(self, cluster: str, name: str) -> Object | None:
        binding = self.get(cluster, API_BINDINGS, name)
        return binding if binding is not None and (binding.get("status") or {}).get("phase") == "Bound" else None


def claim(group: str, resource: str, *verbs: str, identity: str = "", **more: Any) -> Object:
    out: Object = {"group": group, "resource": resource, "verbs": list(verbs or ("*",))}
    if identity:
        out["identityHash"] = identity
    return {**out, **more}


def accepted(one: Object, **selector: Any) -> Object:
    return {
        **{k: v for k, v in one.items() if k != "defaultSelector"},
        "selector": selector or {"matchAll": True},
        "state": "Accepted",
    }
