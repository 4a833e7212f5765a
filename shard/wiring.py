"""Wires the parts of one shard: cell, tenancy, views, and the pipeline that answers requests."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from shard.health_checks import add_checks
from shard.options import ShardOptions
from tenantry.apiserver.admission.webhooks.call_context import WebhookCalls
from tenantry.apiserver.audit.auditor import Auditor
from tenantry.apiserver.authentication.identity import Identity
from tenantry.apiserver.authentication.service_account_tokens import token_cluster
from tenantry.apiserver.authorizers.configured_webhooks import ConfiguredWebhooks
from tenantry.apiserver.endpoints import reviews, token_request
from tenantry.apiserver.endpoints.health import Health
from tenantry.apiserver.endpoints.issuer import IssuerEndpoint
from tenantry.apiserver.endpoints.version import VersionEndpoint
from tenantry.apiserver.flow_control import FlowControl
from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.pipeline import Pipeline
from tenantry.apiserver.records import parse_head
from tenantry.apiserver.request import Handler
from tenantry.base.metrics import Metrics
from tenantry.placement.heartbeat import OpenStore
from tenantry.placement.map import ShardInfo
from tenantry.placement.ownership import Ownership
from tenantry.placement.peers import Peers
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import RangeOpening
from tenantry.placement.remote_views import RemoteViews
from tenantry.placement.session import Session
from tenantry.placement.urls import Urls
from tenantry.placement.view_processes import ViewProcesses
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.read_guard import ReadGuard
from tenantry.storage.store import Store
from tenantry.tenancy.audit_annotations import audit_annotations
from tenantry.tenancy.controllers.certificate_request_expiry import CertificateRequestExpiry
from tenantry.tenancy.controllers.event_expiry import EventExpiry
from tenantry.tenancy.flowcontrol.flow_plans import FlowPlans
from tenantry.tenancy.flowcontrol.standard_contents import StandardContents
from tenantry.tenancy.path_resolvers import RangesResolver
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.service_account_lookup import ServiceAccountLookup, forget_tokens
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.well_known import ROOT
from tenantry.tenancy.wiring import Tenancy
from tenantry.virtual.installed_views import installed_views, types_of
from tenantry.virtual.make_views import make_views
from tenantry.virtual.services_resolver import ServicesResolver
from tenantry.virtual.view import View
from tenantry.virtual.view_checks import add_view_checks


class Shard:
    """One shard. Call `join` (it gets a session, and acquires the ranges that the map assigns to it), `start`, and `stop`.

    `handle` answers requests after `start`. `info`: its uid is new for every start of the process, and its URL is where peers and
    gateways reach it. `authorizers`: those beside RBAC. `open_store`: opens a separate connection for the heartbeat, for
    shards in processes of their own. `views`: classes of views beside the built-in ones; None: those of installed packages.
    `view_processes`, `remote_views`: the views that processes of their own serve, and the way there.
    """

    def __init__(
        self,
        *,
        info: ShardInfo,
        store: Store,
        range_map: RangeMap,
        opening: RangeOpening,
        peers: Peers,
        urls: Urls,
        identity: Identity,
        authorizers: ConfiguredWebhooks | None = None,
        ca_certificate: bytes,
        health: Health,
        metrics: Metrics,
        version: str,
        options: ShardOptions,
        open_store: OpenStore | None = None,
        views: Sequence[type[View]] | None = None,
        view_processes: ViewProcesses | None = None,
        remote_views: RemoteViews | None = None,
        auditor: Auditor | None = None,
    ) -> None:
        self.info = info
        classes = installed_views() if views is None else views
        guard = ReadGuard()
        self.cell = Cell(
            store,
            info.uid,
            parse_head,
            guard=guard,
            limits=options.commit_limits,
            history_limits=options.history_limits,
            limits_of=options.limits_of,
        )
        hubs = Hubs()
        lookup = ServiceAccountLookup(self.cell, range_map, peers)
        authenticator = identity.authenticator(lookup)
        self.webhooks = WebhookCalls(networks=options.webhook_networks, services=options.webhook_services)
        metrics.collectors += [self.webhooks.metrics.collect, self.webhooks.converter.metrics.collect]
        metrics.shares += [self.webhooks.outgoing.shares, self.webhooks.outgoing.lookups.shares]
        self.tenancy = tenancy = Tenancy(
            name=info.name,
            cell=self.cell,
            hubs=hubs,
            range_map=range_map,
            opening=opening,
            urls=urls,
            peers=peers,
            connectors={**reviews.connectors(authenticator), **token_request.connectors(identity.issuer, lookup)},
            ca_certificate=ca_certificate.decode(),
            home_creator_groups=options.home_creator_groups,
            types=types_of(classes),
            webhooks=self.webhooks,
            authorizers=authorizers,
        )
        lookup.apis = tenancy.apis.read
        self.catalog = tenancy.catalog
        self.directory = tenancy.directory
        self.ownership = Ownership(
            self.cell,
            range_map,
            changed=tenancy.ranges_changed,
            prepared=tenancy.catalog.reached,
            end_watches=hubs.end,
        )
        self.session = Session(
            store,
            info,
            guard,
            ttl_seconds=options.ttl_seconds,
            seen=range_map.reached,
            lost=self.ownership.give_up,
            doubted=self.ownership.end_watches,
            open_store=open_store,
        )
        tenancy.local_ranges.follow(partial(forget_tokens, authenticator))
        tenancy.runner.add(
            *tenancy.plain_controllers(identity.issuer.issue_for_secret, identity.signer),
            *tenancy.export_controllers(publish_on_exports=options.publish_on_exports),
            *tenancy.replication_controllers(),
            *tenancy.workspace_controllers(),
        )
        self._expiry = EventExpiry(cell=self.cell, local_ranges=tenancy.local_ranges)
        self._certificate_expiry = CertificateRequestExpiry(cell=self.cell, scopes=tenancy.scopes)
        add_checks(
            info.name,
            self.cell,
            tenancy.catalog,
            tenancy.runner,
            ready=tenancy.ready.is_set,
            health=health,
            metrics=metrics,
        )
        self.views = make_views(tenancy, classes)
        add_view_checks(info.name, self.views.values(), health)
        services = ServicesResolver(
            tenancy.directory,
            tenancy.scopes,
            self.views,
            shard_name=info.name,
            ranges=self.cell.ranges,
            elsewhere=view_processes,
        )
        ranges = RangesResolver(
            range_map,
            {"clusters": tenancy.clusters, "services": services},
            ranges=self.cell.ranges,
            is_privileged=tenancy.authorizer.is_privileged,
            elsewhere=lambda view: view_processes is not None and view in view_processes.names,
        )
        plans = FlowPlans(cell=self.cell, seats=options.tenant_seats)
        flow_control = FlowControl(plans)
        plans.changed, plans.dropped = flow_control.admit, flow_control.counted
        plans.follow(tenancy.local_ranges)
        metrics.collectors.append(flow_control.metrics)
        self.handle = Pipeline(
            {"clusters": tenancy.clusters, "services": services, "ranges": ranges},
            authenticator,
            root=lambda: tenancy.scopes.cluster(ROOT),
            root_cluster=ROOT,
            forward=peers.call,
            health=health,
            metrics=metrics,
            version=VersionEndpoint(version),
            issuer=IssuerEndpoint(identity.issuer, urls.external),
            token_cluster=token_cluster,
            open_paths=identity.open_paths,
            views=remote_views,
            serve=StandardContents(self.cell).serve,
            flow_control=flow_control,
            auditor=auditor,
            annotations_of=partial(audit_annotations, tenancy.directory),
        )

    def __repr__(self) -> str:
        return f"<Shard {self.info.name} {list(self.cell.ranges.values())}>"

    async def join(self) -> None:
        """Starts the session, and acquires ranges from then on."""
        await self.session.start()
        self.ownership.start()

    def handler_of(self, range_name: str) -> Handler | None:
        """`handle` if this shard owns a range, else None."""
        range_ = self.cell.ranges.get(range_name)
        return self.handle if range_ is not None and range_.owned else None

    def tenants(self, range_name: str) -> int:
        """The number of tenants of a range, for its capacity. `root` itself does not count."""
        range_ = self.cell.ranges.get(range_name)
        if range_ is None:
            return 0
        return range_.count(LOGICAL_CLUSTERS) - (range_.get(Key(ROOT, LOGICAL_CLUSTERS, "", NAME)) is not None)

    async def start(self) -> None:
        await self.tenancy.start()
        self._expiry.start()
        self._certificate_expiry.start()

    async def stop(self) -> None:
        await self.ownership.stop()
        await self._certificate_expiry.stop()
        await self._expiry.stop()
        await self.tenancy.stop()
        self.webhooks.close()
        await self.cell.close()
        await self.session.stop()
