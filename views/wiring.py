"""Wires the parts of a process of views: the reader of the store, tenancy without controllers, the views, and the pipeline."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

from tenantry.apiserver.audit.auditor import Auditor
from tenantry.apiserver.authentication.identity import Identity
from tenantry.apiserver.authentication.service_account_tokens import token_cluster
from tenantry.apiserver.authorizers.configured_webhooks import ConfiguredWebhooks
from tenantry.apiserver.endpoints.health import Health
from tenantry.apiserver.endpoints.version import VersionEndpoint
from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.negotiation import error_response
from tenantry.apiserver.pipeline import Pipeline
from tenantry.apiserver.records import parse_head
from tenantry.apiserver.request import Request
from tenantry.apiserver.storage_errors import not_owner
from tenantry.base.flags import SettingError
from tenantry.base.metrics import Metrics
from tenantry.http.messages import Reply
from tenantry.kube.status import StatusError, unavailable
from tenantry.placement.peers import Peers
from tenantry.placement.range_map import RangeMap
from tenantry.placement.range_opening import OpenedRange, RangeOpening
from tenantry.placement.urls import Urls
from tenantry.storage.history import HistoryLimits
from tenantry.storage.reader import Reader
from tenantry.storage.store import Store
from tenantry.tenancy.audit_annotations import audit_annotations
from tenantry.tenancy.path_resolvers import RangesResolver, split_first
from tenantry.tenancy.service_account_lookup import ServiceAccountLookup, forget_tokens
from tenantry.tenancy.well_known import ROOT
from tenantry.tenancy.wiring import Tenancy
from tenantry.virtual.installed_views import installed_views, types_of
from tenantry.virtual.make_views import make_views
from tenantry.virtual.services_resolver import ServicesResolver
from tenantry.virtual.view import View
from tenantry.virtual.view_checks import add_view_checks
from views.ranges import LoadedRanges
from views.settings import RangeMemory
from views.writes import OwnersWrite


class ViewServer:
    """Serves the views named in `only`, all that are installed where it is empty. Call `start` and `stop`; `handle` answers
    requests.

    `authorizers`: those beside RBAC. `writes`: where writes go. `memory`: which ranges are kept. Raises SettingError for a
    name that no installed view has.
    """

    def __init__(
        self,
        *,
        name: str,
        only: Collection[str],
        store: Store,
        range_map: RangeMap,
        peers: Peers,
        urls: Urls,
        identity: Identity,
        authorizers: ConfiguredWebhooks | None = None,
        writes: OwnersWrite,
        health: Health,
        metrics: Metrics,
        version: str,
        memory: RangeMemory,
        history_limits: HistoryLimits,
        auditor: Auditor | None = None,
    ) -> None:
        self._map = range_map
        classes = installed_views()
        hubs = Hubs()
        self.reader = Reader(store, parse_head, changed=self._ranges_changed, ended=hubs.end, history_limits=history_limits)
        lookup = ServiceAccountLookup(self.reader, range_map, peers)
        authenticator = identity.authenticator(lookup)
        self.tenancy = tenancy = Tenancy(
            name=name,
            cell=self.reader,
            hubs=hubs,
            range_map=range_map,
            opening=RangeOpening(range_map, _opens_nothing),
            urls=urls,
            peers=peers,
            home_creator_groups=None,
            types=types_of(classes),
            authorizers=authorizers,
            follows=True,
        )
        lookup.apis = tenancy.apis.read
        tenancy.local_ranges.follow(partial(forget_tokens, authenticator))
        made = make_views(tenancy, classes)
        self.views = chosen(made, only)
        add_view_checks(name, self.views.values(), health)
        self.ranges = LoadedRanges(
            self.reader,
            tenancy.catalog,
            range_map,
            hubs,
            fresh_seconds=memory.fresh_seconds,
            broken_seconds=memory.broken_seconds,
            idle_seconds=memory.idle_seconds,
            ranges_max=memory.ranges_max,
        )
        self._services = ServicesResolver(
            tenancy.directory, tenancy.scopes, self.views, shard_name=name, ranges=self.reader.ranges
        )
        ranges = RangesResolver(
            range_map,
            {"services": self._services},
            ranges=self.reader.ranges,
            is_privileged=tenancy.authorizer.is_privileged,
        )
        self._pipeline = Pipeline(
            {"services": self._services, "ranges": ranges},
            authenticator,
            root=lambda: tenancy.scopes.cluster(ROOT),
            root_cluster=ROOT,
            forward=_not_loaded,
            health=health,
            metrics=metrics,
            version=VersionEndpoint(version),
            token_cluster=token_cluster,
            open_paths=identity.open_paths,
            serve=writes,
            auditor=auditor,
            annotations_of=partial(audit_annotations, tenancy.directory),
            passes_on=writes.passes_on,
        )

    async def start(self) -> None:
        """Returns when the catalog is read and root's exports are known. Ranges are loaded when requests need them."""
        await self.tenancy.start_reading()
        self.ranges.start()

    async def stop(self) -> None:
        await self.ranges.stop()
        await self.reader.close()
        await self.tenancy.stop()

    async def handle(self, request: Request) -> Reply:
        """Answers a request when memory shows what was committed before it."""
        first, rest = split_first(request.path)
        range_name: str | None = None
        if first == "ranges":
            range_name, rest = split_first(rest)
            first, rest = split_first(rest)
        if first == "services":
            try:
                await self._prepare(rest, range_name)
            except StatusError as error:
                request.verb = request.method.lower()
                return error_response(error, request)
        return await self._pipeline(request)

    def why_not(self) -> str:
        """Why it is not ready, empty where it is."""
        return "starting" if not self.tenancy.ready.is_set() else self.ranges.why_not

    async def _prepare(self, path: str, range_name: str | None) -> None:
        if not self.tenancy.ready.is_set():
            raise not_owner("this process of views is starting")
        # What a path means may have changed with what was committed before the request.
        for _ in range(3):
            name = self._range_name_of(path, range_name)
            await self.ranges.prepare(name)
            if self._range_name_of(path, range_name) == name:
                return

    def _range_name_of(self, path: str, range_name: str | None) -> str:
        """The range that a request needs. That there is no such range is told by the pipeline, to those who may know."""
        name = self._services.range_name_of(path, range_name)
        return name if name is not None and self._map.named(name) is not None else ROOT

    def _ranges_changed(self) -> None:
        self.tenancy.ranges_changed()


def chosen(views: Mapping[str, View], only: Collection[str]) -> dict[str, View]:
    """The views that `only` names; all, where it is empty. Raises SettingError."""
    unknown = sorted(set(only) - set(views))
    if unknown:
        raise SettingError(f"--only names {', '.join(unknown)}; installed are {', '.join(sorted(views))}")
    return {name: view for name, view in views.items() if not only or name in only}


async def _opens_nothing(labels: Mapping[str, str], after_version: int) -> OpenedRange:
    raise unavailable("a process of views opens no ranges")


async def _not_loaded(range_name: str, request: Request) -> Reply:
    raise not_owner(f"range {range_name} is not loaded")
