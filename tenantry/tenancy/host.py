"""What a serving process is to tenancy: the one object through which its parts find each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from tenantry.apiserver.admission.attributes import Admission
from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.scope import Connector
from tenantry.apiserver.storage_errors import not_owner, to_status
from tenantry.apiserver.user import AUTHENTICATED_GROUP, User
from tenantry.base.tasks import call, call_each
from tenantry.controllers.reconcile import Controller, ControllerRunner
from tenantry.placement.catalog import Catalog
from tenantry.placement.directory import Directory
from tenantry.placement.map import Map
from tenantry.placement.peers import Peers
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell, NotOwned
from tenantry.storage.range import Range
from tenantry.tenancy.apis import ClusterApis
from tenantry.tenancy.bootstrap import Installer, bootstrap
from tenantry.tenancy.exports.identities import Identities
from tenantry.tenancy.scopes import ClusterScope, WildcardScope
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.workspaces.schedule import Scheduler
from tenantry.tenancy.workspaces.types import WorkspaceTypes

P = TypeVar("P")


class DeepAuthorizer(Authorizer, Protocol):
    def allows_deep(self, attributes: Attributes) -> bool:
        """RBAC of `attributes.cluster` alone, with no look at workspace access (kcp's deep SubjectAccessReview)."""
        ...

    def may_enter(self, user: User, cluster: str, *, owner: str = "") -> bool:
        """Whether a user may enter a logical cluster of any shard; `owner` is the user name in its Workspace."""
        ...

    def is_privileged(self, user: User) -> bool:
        """Whether a user may enter all logical clusters, and so may know which there are."""
        ...


class Host:
    """Everything of tenancy in one shard process.

    The wiring makes it, then sets `authorizer` and `admission` and adds connectors and controllers (the packages' `build(host)`),
    then starts it. `ca_certificate` is the PEM text that workspaces get as `kube-root-ca.crt`. `home_creator_groups`: who gets a
    home workspace by asking for it; None: nobody has one.
    """

    authorizer: DeepAuthorizer
    admission: Admission

    def __init__(
        self,
        *,
        name: str,
        cell: Cell,
        registry: Map,
        urls: Urls,
        peers: Peers,
        ca_certificate: str = "",
        version: str = "dev",
        home_creator_groups: Sequence[str] | None = (AUTHENTICATED_GROUP,),
    ) -> None:
        self.name = name
        self.cell = cell
        self.urls = urls
        self.peers = peers
        self.ca_certificate = ca_certificate
        self.version = version
        self.home_workspaces = home_creator_groups is not None
        self.home_creator_groups = tuple(home_creator_groups or ())
        self.catalog = Catalog(cell.store)
        self._parts: dict[Callable[[Host], Any], Any] = {}
        self.part(Identities)
        self.directory = Directory(self.catalog, registry, urls.external)
        self.definitions = SystemDefinitions()
        self.workspace_types = WorkspaceTypes(self)
        self.scheduler = Scheduler(self)
        self.apis = ClusterApis(self)
        self.connectors: dict[tuple[str, str, str], Connector] = {}
        """(group, resource, subresource) → the answerer of reviews and special subresources."""
        self.runner = ControllerRunner(self)
        self._gained: list[Callable[[Range], Callable[[], None]]] = []
        self._following: dict[str, tuple[Range, dict[int, Callable[[], None]]]] = {}
        self._stop_map: Callable[[], None] = lambda: None
        self._installer: Installer | None = None
        self.ready = asyncio.Event()
        """Set when the process may serve: bootstrapped, and the catalog read."""

    def part(self, kind: Callable[[Host], P]) -> P:
        """The one value of a class of this host, made by `kind(host)` when it is first asked for; it goes with the host."""
        found: P | None = self._parts.get(kind)
        if found is None:
            found = self._parts[kind] = kind(self)
        return found

    @property
    def registry(self) -> Map:
        return self.directory.map

    def scope(self, cluster: str) -> ClusterScope:
        """The scope of a cluster that this shard owns. Raises StatusError 503 where it does not."""
        return ClusterScope(self, cluster, self.range_of(cluster))

    def wildcard(self, range_name: str, *, resource: str = "", identity: str = "") -> WildcardScope:
        """All clusters of a range; `resource` (plural) and `identity` where one bound resource is asked for by its identity."""
        range_ = self.cell.ranges.get(range_name)
        if range_ is None:
            raise not_owner(f"range {range_name} is not held by shard {self.name}")
        return WildcardScope(self, range_, resource=resource, identity=identity)

    def range_of(self, cluster: str) -> Range:
        try:
            return self.cell.range_of(cluster)
        except NotOwned as error:
            raise to_status(error) from error

    def add_controllers(self, *controllers: Controller) -> None:
        self.runner.add(*controllers)

    def add_connectors(self, connectors: Mapping[tuple[str, str, str], Connector]) -> None:
        self.connectors.update(connectors)

    def follow_ranges(self, gained: Callable[[Range], Callable[[], None]]) -> Callable[[], None]:
        """Calls `gained` for every range that this shard holds and will hold; what it returns is called when the range is lost,
        or when the caller stops following by calling what this returns."""
        self._gained.append(gained)
        for range_, stops in self._following.values():
            stops[id(gained)] = gained(range_)

        def stop() -> None:
            if gained in self._gained:
                self._gained.remove(gained)
            for _, stops in self._following.values():
                ended = stops.pop(id(gained), None)
                if ended is not None:
                    ended()

        return stop

    def ranges_changed(self) -> None:
        """The cell gained or lost ranges: the wiring calls this right after."""
        now = dict(self.cell.ranges)
        for name in [n for n, (range_, _) in self._following.items() if now.get(n) is not range_]:
            call_each(list(self._following.pop(name)[1].values()), f"a follower of the lost range {name}")
        for name, range_ in now.items():
            _, stops = self._following.setdefault(name, (range_, {}))
            # One that raised is asked again with the next change of the map.
            for gained in [each for each in self._gained if id(each) not in stops]:
                call(self._gain, f"a follower of range {name}", gained, range_)

    def _gain(self, gained: Callable[[Range], Callable[[], None]], range_: Range) -> None:
        self._following[range_.name][1][id(gained)] = gained(range_)

    async def start(self) -> None:
        """Reads the catalog, installs what a fresh system needs, and starts the controllers.

        Returns when root's exports are known, by this shard's own doing where it holds `root`. Ranges may be gained and lost
        before, meanwhile and afterwards.
        """
        self.cell.on_commit.append(self.catalog.committed)
        await self.catalog.start()
        self.directory.start()
        self.ranges_changed()
        self._stop_map = self.registry.subscribe(self.ranges_changed)
        await bootstrap(self)
        self.apis.start()
        await self.runner.start()
        self._installer = Installer(self)
        self.ready.set()

    async def stop(self) -> None:
        self.ready.clear()
        self._stop_map()
        if self._installer is not None:
            await self._installer.stop()
        await self.runner.stop()
        self.apis.stop()
        self.directory.stop()
        await self.catalog.stop()
        if self.catalog.committed in self.cell.on_commit:
            self.cell.on_commit.remove(self.catalog.committed)
