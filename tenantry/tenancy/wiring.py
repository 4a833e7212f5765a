"""Makes the parts of tenancy in one shard, in the order in which they need each other.

Each part gets what it needs by its constructor. Only the wiring of a shard, and tests, read the attributes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tenantry.apiserver.admission.webhooks.call_context import WebhookCalls
from tenantry.apiserver.authentication.cluster_authority import ClusterAuthority
from tenantry.apiserver.authorizers.configured_webhooks import ConfiguredWebhooks
from tenantry.apiserver.conversion.converter import Converter
from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.scope import Connector
from tenantry.apiserver.user import AUTHENTICATED_GROUP
from tenantry.controllers.controller import Controller
from tenantry.controllers.runner import ControllerRunner
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.directory import Directory
from tenantry.placement.paths.locator import Locator
from tenantry.placement.peers import Peers
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import RangeOpening
from tenantry.placement.urls import Urls
from tenantry.storage.cell import Cell
from tenantry.tenancy import quotas
from tenantry.tenancy.admission import admission_chain
from tenantry.tenancy.authorization.authorizer_chain import AuthorizerChain
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.authorization.configured_authorizer import ConfiguredAuthorizer
from tenantry.tenancy.bootstrap import Bootstrap
from tenantry.tenancy.catalog_copies import Copies, copied_view_types
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScopes
from tenantry.tenancy.computed.collections import Collections
from tenantry.tenancy.controllers import build_controllers as plain_controllers
from tenantry.tenancy.controllers.service_account_token_secrets import Issue
from tenantry.tenancy.exports import build_controllers as export_controllers
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.identity_index import IdentityIndex
from tenantry.tenancy.exports.permission_claims import Claims
from tenantry.tenancy.exports.written_statuses import WrittenStatuses
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.path_resolvers import ClustersResolver
from tenantry.tenancy.replication import build_controllers as replication_controllers
from tenantry.tenancy.replication.publications import REPLICATED, Publications
from tenantry.tenancy.replication.replication_lookup import ReplicationLookup
from tenantry.tenancy.replication.virtual_resources import VirtualResources
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.view_type import ViewType
from tenantry.tenancy.workspaces import build_controllers as workspace_controllers
from tenantry.tenancy.workspaces.home_workspaces import HomeWorkspaces
from tenantry.tenancy.workspaces.new_logical_cluster import ClusterContents
from tenantry.tenancy.workspaces.remote_objects import RemoteObjects
from tenantry.tenancy.workspaces.scheduler import Scheduler
from tenantry.tenancy.workspaces.workspace_types import WorkspaceTypes

Connectors = Mapping[tuple[str, str, str], Connector]


class Tenancy:
    """The parts of tenancy in one shard, and their start and stop.

    `connectors`: (group, resource, subresource) → the connector of an access review or a special subresource. `ca_certificate`:
    PEM, for the ConfigMap `kube-root-ca.crt`. `home_creator_groups`: groups whose users may create a home workspace; None
    disables them. `types`: those that views bring, each with the name of its view. `follows`: whether `cell` is a
    `storage.reader.Reader`, whose ranges and catalog are asked for each request how far they are. `webhooks`: how webhooks are
    called; None: they are not. `authorizers`: those beside RBAC, None where there are none. `authorizer` and
    `build_admission`: others than those of tenancy, for tests.
    """

    def __init__(
        self,
        *,
        name: str,
        cell: Cell,
        hubs: Hubs,
        range_map: RangeMap,
        opening: RangeOpening,
        urls: Urls,
        peers: Peers,
        connectors: Connectors | None = None,
        ca_certificate: str = "",
        home_creator_groups: Sequence[str] | None = (AUTHENTICATED_GROUP,),
        follows: bool = False,
        types: Iterable[tuple[ViewType, str]] = (),
        webhooks: WebhookCalls | None = None,
        authorizer: ClusterAuthorizer | None = None,
        authorizers: ConfiguredWebhooks | None = None,
        build_admission: admission_chain.BuildAdmission = admission_chain.build,
    ) -> None:
        self.name = name
        self.cell = cell
        cell.marks = quotas.MARKS
        self.range_map = range_map
        self.urls = urls
        self.peers = peers
        self._ca_certificate = ca_certificate
        self.local_ranges = LocalRanges(cell)
        self.definitions = SystemDefinitions(types)
        tallied = (REPLICATED, *copied_view_types(self.definitions))
        self.catalog = Catalog(cell.store, tallied=tallied, progress=follows)
        self.collections = Collections(cell=cell, catalog=self.catalog, hubs=hubs, local_ranges=self.local_ranges)
        identities = IdentityIndex(self.catalog)
        self.directory = Directory(self.catalog, range_map, urls.external)
        self.workspace_types = WorkspaceTypes(catalog=self.catalog, directory=self.directory)
        self.scheduler = Scheduler(
            cell=cell, catalog=self.catalog, directory=self.directory, range_map=range_map, opening=opening
        )
        self.exports = ExportLookup(self.catalog, self.directory, identities)
        self.replication = ReplicationLookup(self.catalog, self.exports)
        self.apis = ClusterApis(
            cell=cell,
            catalog=self.catalog,
            local_ranges=self.local_ranges,
            definitions=self.definitions,
            identities=identities,
        )
        self._publications = publications = Publications(self.catalog)
        self.copies = Copies(cell, self.catalog, self.definitions, publications)
        self.changes = Changes(self.copies)
        self._contents = ClusterContents(self.definitions, self.changes, self.exports, ca_certificate=ca_certificate)
        self.authorizer: ClusterAuthorizer = authorizer or AuthorizerChain(
            cell=cell, catalog=self.catalog, directory=self.directory, local_ranges=self.local_ranges, exports=self.exports
        )
        if authorizers is not None:
            self.authorizer = ConfiguredAuthorizer(self.authorizer, authorizers)
        self._written = WrittenStatuses()
        self._claims = Claims(catalog=self.catalog, exports=self.exports)
        admission = build_admission(
            cell=cell,
            catalog=self.catalog,
            directory=self.directory,
            definitions=self.definitions,
            workspace_types=self.workspace_types,
            scheduler=self.scheduler,
            exports=self.exports,
            claims=self._claims,
            authorizer=self.authorizer,
            apis=self.apis,
            publications=publications,
            local_ranges=self.local_ranges,
            webhooks=webhooks,
            peers=peers,
        )
        self.scopes = ClusterScopes(
            shard_name=name,
            cell=cell,
            hubs=hubs,
            converter=webhooks.converter if webhooks is not None else Converter(None),
            apis=self.apis,
            authorizer=self.authorizer,
            admission=admission,
            copies=self.copies,
            connectors=connectors if connectors is not None else {},
            virtual=VirtualResources(self.collections, self.replication),
        )
        self._remote = RemoteObjects(directory=self.directory, definitions=self.definitions, peers=peers, shard_name=name)
        homes = (
            HomeWorkspaces(
                cell=cell,
                directory=self.directory,
                definitions=self.definitions,
                authorizer=self.authorizer,
                workspace_types=self.workspace_types,
                scheduler=self.scheduler,
                urls=urls,
                changes=self.changes,
                contents=self._contents,
                remote=self._remote,
            )
            if home_creator_groups is not None
            else None
        )
        self.ready = asyncio.Event()
        """Set when the shard may serve: the catalog is read, and root is installed."""
        self.clusters = ClustersResolver(
            Locator(cell, self.directory),
            self.scopes,
            shard_name=name,
            ranges=cell.ranges,
            apis=self.apis,
            homes=homes,
            is_privileged=self.authorizer.is_privileged,
            ready=self.ready.is_set,
        )
        self.runner = ControllerRunner(cell, self.local_ranges.follow, expected_errors=(StatusError,))
        self._bootstrap = Bootstrap(
            cell=cell,
            catalog=self.catalog,
            range_map=range_map,
            urls=urls,
            local_ranges=self.local_ranges,
            definitions=self.definitions,
            changes=self.changes,
            exports=self.exports,
            ca_certificate=ca_certificate,
            home_creator_groups=tuple(home_creator_groups or ()),
        )
        self._stop_commits: Callable[[], None] = lambda: None
        self._stop_map: Callable[[], None] = lambda: None

    def plain_controllers(self, issue_token: Issue, signer: ClusterAuthority | None = None) -> Iterable[Controller[Any]]:
        """The controllers of Kubernetes. `issue_token` signs the tokens of service account token secrets, `signer` the
        certificates of clients; None: these are not signed."""
        return plain_controllers.build(
            cell=self.cell,
            catalog=self.catalog,
            range_map=self.range_map,
            urls=self.urls,
            definitions=self.definitions,
            apis=self.apis,
            scopes=self.scopes,
            copies=self.copies,
            changes=self.changes,
            written=self._written,
            ca_certificate=self._ca_certificate,
            issue_token=issue_token,
            signer=signer,
        )

    def export_controllers(self, *, publish_on_exports: bool = False) -> Iterable[Controller[Any]]:
        """The controllers of exports and bindings. `publish_on_exports`: fill the deprecated
        `APIExport.status.virtualWorkspaces`."""
        return export_controllers.build(
            cell=self.cell,
            catalog=self.catalog,
            range_map=self.range_map,
            urls=self.urls,
            local_ranges=self.local_ranges,
            definitions=self.definitions,
            apis=self.apis,
            changes=self.changes,
            exports=self.exports,
            claims=self._claims,
            written=self._written,
            publish_on_exports=publish_on_exports,
        )

    def replication_controllers(self) -> Iterable[Controller[Any]]:
        """The controllers of replicated resources."""
        return replication_controllers.build(
            cell=self.cell,
            catalog=self.catalog,
            range_map=self.range_map,
            urls=self.urls,
            definitions=self.definitions,
            apis=self.apis,
            copies=self.copies,
            changes=self.changes,
            exports=self.exports,
            publications=self._publications,
            lookup=self.replication,
            written=self._written,
        )

    def workspace_controllers(self) -> Iterable[Controller[Any]]:
        """The controllers of workspaces."""
        return workspace_controllers.build(
            cell=self.cell,
            catalog=self.catalog,
            directory=self.directory,
            range_map=self.range_map,
            urls=self.urls,
            definitions=self.definitions,
            workspace_types=self.workspace_types,
            scheduler=self.scheduler,
            copies=self.copies,
            changes=self.changes,
            contents=self._contents,
            remote=self._remote,
        )

    def ranges_changed(self) -> None:
        """The cell acquired or released ranges; to be called right after."""
        self.local_ranges.changed()

    async def start(self) -> None:
        """Reads the catalog, installs root if this shard owns it, and starts the controllers.

        Returns when root's exports are known. The cell may acquire and release ranges before, during and after that.
        """
        self._stop_commits = self.cell.commits.subscribe(self.catalog.committed)
        await self.catalog.start()
        self.directory.start()
        self.local_ranges.changed()
        self._stop_map = self.range_map.subscribe(self.local_ranges.changed)
        await self._bootstrap.run()
        self.apis.start()
        await self.runner.start()
        self._bootstrap.follow()
        self.ready.set()

    async def start_reading(self) -> None:
        """As `start`, for a process that owns nothing: no controllers, and nothing is installed."""
        await self.catalog.start()
        self.directory.start()
        self.local_ranges.changed()
        await self._bootstrap.run()
        self.apis.start()
        self.ready.set()

    async def stop(self) -> None:
        self.ready.clear()
        self._stop_map()
        await self._bootstrap.stop()
        await self.runner.stop()
        await self.collections.stop()
        self.apis.stop()
        self.directory.stop()
        await self.catalog.stop()
        self._stop_commits()
