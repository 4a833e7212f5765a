"""The view of an APIExport: `/services/apiexport/<export cluster id>/<export>/clusters/<id or *>/…`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from tenantry.apiserver.admission.review import Admission
from tenantry.apiserver.authorization import Attributes, Decision
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.scope import Call, Connector, Scope
from tenantry.apiserver.user import User
from tenantry.apiserver.visibility import Visibility
from tenantry.http.messages import Reply
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import STANDARD_VERBS, ResourceDefinition
from tenantry.kube.status import PlainError, StatusError, internal
from tenantry.placement.catalog import Catalog
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.virtual.apiexport.acceptance import AcceptedVisibility
from tenantry.virtual.apiexport.admission.claim_selector import ClaimSelectorAdmission
from tenantry.virtual.apiexport.domain import Domains
from tenantry.virtual.apiexport.export_authorizer import ExportAuthorizer, content_of
from tenantry.virtual.apiexport.published_visibility import Publication, PublishedVisibility
from tenantry.virtual.apiexport.warrant import with_warrant
from tenantry.virtual.view import Place, View, ViewContext
from tenantry.virtual.view_scope import ViewScope


class ApiExportView(View):
    """Serves the objects of the export's resources, the objects of accepted claims, and the APIBindings to the export."""

    name = "apiexport"
    arguments = ("export cluster", "export")
    verbs = STANDARD_VERBS

    def __init__(
        self,
        context: ViewContext,
        *,
        catalog: Catalog,
        exports: ExportLookup,
        apis: ClusterApis,
    ) -> None:
        super().__init__(context)
        self.exports = exports
        self.domains = Domains(catalog=catalog, definitions=context.definitions, exports=exports, apis=apis)

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        domain = self.domains.of(*place.arguments)
        return domain.definitions if domain is not None else ()

    def watch_apis(self, place: Place, changed: Callable[[], None]) -> Callable[[], None]:
        cluster, name = place.arguments
        return self.domains.subscribe(cluster, name, changed)

    def scope(self, place: Place, base: ClusterScope, path: str) -> Scope:
        return ExportScope(self, place, base)


class ExportScope(ViewScope):
    """One place in the view of one export."""

    def __init__(self, view: ApiExportView, place: Place, base: ClusterScope) -> None:
        super().__init__(view, place, base)
        cluster, name = place.arguments
        self._domains = view.domains
        self._exports = view.exports
        self.domain = view.domains.of(cluster, name)
        self._is_over = False
        self._shows_all: Publication | None = None
        """Why a request sees all objects of a type."""
        self._authorizer = ExportAuthorizer(
            (cluster, name),
            content_of((cluster, name)),
            self.domain,
            self.range,
            place.cluster,
            exports=view.exports,
            authorizer=view.context.authorizer,
        )

    @property
    def view_admission(self) -> Sequence[Admission]:
        own = super().view_admission
        return own if self.domain is None else (ClaimSelectorAdmission(self.domain), *own)

    def decide(self, attributes: Attributes) -> Decision:
        if not attributes.is_resource and attributes.path in HEALTH_PATHS:
            return super().decide(attributes)
        decision = self._authorizer.authorize(attributes)
        if decision.allowed and self.domain is None:
            raise self._unknown(attributes.user)
        return decision

    def _unknown(self, user: User) -> StatusError:
        """The error of a place without a domain (kcp): 404 for system:masters, and while the export has no identity; otherwise
        500."""
        cluster, name = self.place.arguments
        if user.is_master or self._exports.get(cluster, name) is not None:
            return PlainError(404, "404 page not found")
        return internal(f'error getting APIExport "{name}" of logical cluster "{cluster}": not found')

    def may_impersonate(self, attributes: Attributes) -> Decision:
        """Impersonation is authorized as any other verb on the content of the export (kcp)."""
        return self.decide(attributes)

    def apis(self) -> ApiSet:
        return self.view.api_set(() if self._is_over else self.view.apis(self.place))

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        """A watch of everything also ends when the range is closed: later consumers are visible when its URL is published once
        more."""
        publication = self._shows_all
        if publication is None:
            return super().watch_apis(changed)

        def closed() -> None:
            self._is_over = True
            changed()

        stops = (super().watch_apis(changed), publication.follow_end(closed))
        if not publication.is_open:
            # It was, when the request came.
            closed()

        def stop() -> None:
            for each in stops:
                each()

        return stop

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        if self.domain is None:
            return None
        shared, publication = self._shared(definition, user, verb), Publication(self.range, self.domain.label, self.domain.uid)
        if publication.is_open and (verb != "watch" or shared is None):
            self._shows_all = publication if shared is None else None
            return shared
        return PublishedVisibility(publication, shared)

    @property
    def shown_since(self) -> int:
        return self._shows_all.version if self._shows_all is not None else 0

    def _shared(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        """What an open range shows."""
        assert self.domain is not None
        resource = definition.group_resource
        shared = self.domain.filters.get(resource)
        if shared is None or user.is_master or resource not in self.domain.claims:
            return shared
        place = (self.domain.cluster, self.domain.name)
        return AcceptedVisibility(self._domains, place, self.range, resource, verb, shared)

    def acting_user(self, user: User) -> User:
        return user if self.cluster is None or user.is_master else with_warrant(user, self.cluster)

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        """Claimed access reviews are answered by the consumer's workspace."""
        answer = self.base.connector(definition, "") if not subresource and not definition.stored else None
        if answer is None:
            return None

        async def answered(call: Call) -> Reply:
            return await answer(replace(call, scope=self.base))

        return answered
