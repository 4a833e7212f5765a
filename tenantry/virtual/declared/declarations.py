"""The declarations of all VirtualWorkspaces, from the catalog."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tenantry.apiserver.visibility import Visibility
from tenantry.base.broadcast import KeyedBroadcast
from tenantry.base.cache import Cache
from tenantry.kube.objects import GroupResource, Object
from tenantry.placement.catalog import Catalog
from tenantry.storage.range import Range
from tenantry.tenancy.exports.identity_index import ExportKey
from tenantry.tenancy.resources import VIRTUAL_WORKSPACES
from tenantry.virtual.apiexport.acceptance import AcceptedVisibility
from tenantry.virtual.apiexport.domain import Domain, Domains
from tenantry.virtual.apiexport.published_visibility import Publication, PublishedVisibility
from tenantry.virtual.declared.declaration import Declaration, compiled
from tenantry.virtual.declared.shown_since import ShownSince

_BYTES_MAX = 16 << 20


class _Known(NamedTuple):
    revision: int
    domain: Domain
    declaration: Declaration


class Declarations:
    """Compiled VirtualWorkspaces, in a cache. The key of one is the id of its cluster and its name."""

    def __init__(self, catalog: Catalog, domains: Domains) -> None:
        self._catalog = catalog
        self.domains = domains
        self._known: Cache[ExportKey, _Known] = Cache(
            "declared_views", bytes_max=_BYTES_MAX, size=lambda known: known.declaration.bytes, keeps_large=True
        )
        self.shown_since = ShownSince()
        self._subscribers: KeyedBroadcast[ExportKey, []] = KeyedBroadcast("a subscriber of a declared view")
        catalog.subscribe(VIRTUAL_WORKSPACES, self._changed)

    def of(self, cluster: str, name: str) -> Declaration | None:
        """The declaration; None if the VirtualWorkspace does not exist or has no status yet, or if its export does not exist or
        has no identity."""
        entry = self._catalog.entry(VIRTUAL_WORKSPACES, cluster, name)
        if entry is None:
            return None
        known = self._known.get((cluster, name))
        if known is None or known.revision != entry.revision:
            if "status" in entry.object:
                # Its first status, with its URLs, is not written yet.
                return None
            spec = entry.object["spec"]
            domain = self.domains.of(cluster, spec["export"]["name"])
        else:
            domain = self.domains.of(cluster, known.domain.name)
            if domain is known.domain:
                return known.declaration
            if domain is not None and domain.shows_as(known.domain):
                self._known.put((cluster, name), known._replace(domain=domain))
                return known.declaration
            spec = entry.object["spec"]
        if domain is None:
            self._known.pop((cluster, name))
            return None
        declaration = compiled(cluster, name, entry.revision, spec, domain)
        self._known.put((cluster, name), _Known(entry.revision, domain, declaration))
        return declaration

    def accepted(self, declaration: Declaration, range_: Range, resource: GroupResource, verb: str) -> Visibility | None:
        """What the view of the export shows of a resource to who does `verb`. None: everything."""
        shared = self._shared(declaration.domain, range_, resource, verb)
        published = publication(declaration, range_)
        return shared if verb != "watch" and published.is_open else PublishedVisibility(published, shared)

    def _shared(self, domain: Domain, range_: Range, resource: GroupResource, verb: str) -> Visibility | None:
        shared = domain.filters.get(resource)
        if shared is None or resource not in domain.claims:
            return shared
        return AcceptedVisibility(self.domains, (domain.cluster, domain.name), range_, resource, verb, shared)

    def is_current(self, declaration: Declaration) -> bool:
        """Whether the VirtualWorkspace has not changed since it was compiled."""
        entry = self._catalog.entry(VIRTUAL_WORKSPACES, declaration.cluster, declaration.name)
        return entry is not None and entry.revision == declaration.revision

    def subscribe(self, cluster: str, name: str, changed: Callable[[], None]) -> Callable[[], None]:
        """Calls `changed` after changes of the VirtualWorkspace, or of the definitions or claims of its export. Returns a
        function that ends this."""
        stops = [self._subscribers.subscribe((cluster, name), changed)]
        declaration = self.of(cluster, name)
        if declaration is not None:
            stops.append(self.domains.subscribe(cluster, declaration.domain.name, changed))

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def _changed(self, _: str, cluster: str, name: str, now: Object | None) -> None:
        # What the catalog has when it is read for the first time is known everywhere, and before a first generation nothing was
        # shown.
        if self._catalog.revision and (now is None or now["metadata"].get("generation") != 1):
            self.shown_since.changed((cluster, name))
        self._subscribers.send((cluster, name))


def publication(declaration: Declaration, range_: Range) -> Publication:
    """Whether a range shows the consumers of the export of a declaration."""
    return Publication(range_, declaration.domain.label, declaration.domain.uid)
