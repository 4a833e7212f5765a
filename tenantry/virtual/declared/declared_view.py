"""The declared views: `/services/virtualworkspaces/<cluster id>/<name>/clusters/<id or *>/…`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from tenantry.apiserver.admission.review import Admission
from tenantry.apiserver.authorization import ALLOWED, NO_OPINION, Attributes, Decision
from tenantry.apiserver.deferred import Deferred, may_defer
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.scope import Connector, Scope, Translating, Translation
from tenantry.apiserver.user import User
from tenantry.apiserver.visibility import Visibility
from tenantry.apiserver.worker_threads import workers
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import STANDARD_VERBS, ResourceDefinition
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.schema.cel_expression import Expression
from tenantry.kube.status import PlainError
from tenantry.placement.catalog import Catalog
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.virtual.apiexport.admission.claim_selector import ClaimSelectorAdmission
from tenantry.virtual.apiexport.domain import Domains
from tenantry.virtual.apiexport.warrant import with_warrant
from tenantry.virtual.computed.computed_view import CollectionScope
from tenantry.virtual.declared.admission.selected_object import SelectedObjectAdmission
from tenantry.virtual.declared.counts import counted
from tenantry.virtual.declared.declaration import Declaration
from tenantry.virtual.declared.declarations import Declarations
from tenantry.virtual.declared.declared_authorizer import DeclaredAuthorizer
from tenantry.virtual.declared.evaluation import Spending, user_value
from tenantry.virtual.declared.selected_visibility import SelectedVisibility
from tenantry.virtual.declared.shown_object import FieldsHidden, ShownAs
from tenantry.virtual.view import Place, View, ViewContext


class DeclaredView(View):
    """Serves what a VirtualWorkspace declares, of what the view of its export shows."""

    name = "virtualworkspaces"
    arguments = ("cluster", "virtual workspace")
    verbs = STANDARD_VERBS

    def __init__(self, context: ViewContext, *, catalog: Catalog, exports: ExportLookup, domains: Domains) -> None:
        super().__init__(context)
        self.exports = exports
        self.declarations = Declarations(catalog, domains)

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        declaration = self.declarations.of(*place.arguments)
        return declaration.definitions if declaration is not None else ()

    def watch_apis(self, place: Place, changed: Callable[[], None]) -> Callable[[], None]:
        cluster, name = place.arguments
        return self.declarations.subscribe(cluster, name, changed)

    def scope(self, place: Place, base: ClusterScope, path: str) -> Scope:
        return DeclaredScope(self, place, base)


class DeclaredScope(CollectionScope):
    """One place in one declared view. Its counts are computed."""

    def __init__(self, view: DeclaredView, place: Place, base: ClusterScope) -> None:
        super().__init__(view, place, base, self._counted)
        cluster, name = place.arguments
        self._declarations = view.declarations
        self.declaration = view.declarations.of(cluster, name)
        self._spending = Spending()
        self._user: dict[str, Any] = {}
        self._compiled = False
        self._authorizer = DeclaredAuthorizer(
            (cluster, name),
            self.declaration,
            base.range,
            place.cluster,
            exports=view.exports,
            authorizer=view.context.authorizer,
            spending=self._spending,
        )

    @property
    def view_admission(self) -> Sequence[Admission]:
        own, declaration = super().view_admission, self.declaration
        if declaration is None:
            return own
        mine = SelectedObjectAdmission(declaration, self._user, self._spending)
        return (ClaimSelectorAdmission(declaration.domain), mine, *own)

    def decide(self, attributes: Attributes) -> Decision:
        if not attributes.is_resource and attributes.path in HEALTH_PATHS:
            return super().decide(attributes)
        self._require_compiled(GroupResource(attributes.group, attributes.resource))
        decision = self._authorizer.authorize(attributes)
        if decision.allowed:
            if self.declaration is None:
                raise PlainError(404, "404 page not found")
            self._require_shown(self.declaration)
            self._user = user_value(attributes.user, self.declaration.cluster)
            if attributes.verb == "watch":
                # It lasts. What it costs is paid in slices of the loop's turns.
                self._spending.left = None
        return decision

    def is_computed(self, attributes: Attributes) -> bool:
        declaration = self.declaration
        return declaration is not None and GroupResource(attributes.group, attributes.resource) in declaration.counts

    @property
    def place_name(self) -> Hashable:
        return self.place, self.declaration.mark if self.declaration is not None else ""

    def may_impersonate(self, attributes: Attributes) -> Decision:
        """Only system:masters acts as another user here: the view may be for users whom the caller's workspace does not
        know."""
        return ALLOWED if attributes.user.is_master else NO_OPINION

    def apis(self) -> ApiSet:
        return self.view.api_set(self.view.apis(self.place))

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        declaration = self.declaration
        shown = declaration.resources.get(definition.group_resource) if declaration is not None else None
        if declaration is None or shown is None:
            return None
        return SelectedVisibility(
            self._declarations,
            declaration,
            shown.selected,
            self.base.range,
            self._declarations.accepted(declaration, self.base.range, definition.group_resource, verb),
            self._user,
            self._spending,
            in_slices=shown.is_costly,
        )

    def acting_user(self, user: User) -> User:
        return user if self.cluster is None or user.is_master else with_warrant(user, self.cluster)

    def present(self, definition: ResourceDefinition, user: User) -> Callable[[Object], Object] | None:
        shown = self.declaration.resources.get(definition.group_resource) if self.declaration is not None else None
        if shown is None:
            return None
        if shown.show is not None:
            return ShownAs(*shown.show, self._spending)
        if shown.hidden is None:
            return None
        return FieldsHidden(shown.hidden, shown.translation.applied.key if shown.translation is not None else "")

    @property
    def translation(self) -> Translating | None:
        return self._translated

    def _translated(self, definition: ResourceDefinition, user: User) -> Translation | None:
        shown = self.declaration.resources.get(definition.group_resource) if self.declaration is not None else None
        return shown.translation if shown is not None else None

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        return None

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        stop = super().watch_apis(changed)
        if self.declaration is None or not self._declarations.is_current(self.declaration):
            # It has changed since the request came.
            changed()
        return stop

    def _require_compiled(self, resource: GroupResource) -> None:
        """Raises Deferred if expressions have to be compiled before they are evaluated."""
        declaration = self.declaration
        if declaration is None:
            return
        missing = [each for each in declaration.expressions(resource) if not each.is_compiled]
        if missing and may_defer() and not self._compiled:
            # Once for a request: a small cache may not keep them all.
            self._compiled = True
            raise Deferred(partial(_compile, declaration.cluster, missing))

    def _require_shown(self, declaration: Declaration) -> None:
        """Raises Deferred if the range has to be marked before it shows this declaration."""
        shown, range_, place, revision = self._declarations.shown_since, self.base.range, declaration.place, declaration.revision
        if may_defer() and not shown.is_shown(range_, place, revision):
            raise Deferred(partial(shown.show, self.base.cell, range_, place, revision))

    def _counted(self, sources: Sources) -> Iterator[ComputedRecord | None]:
        assert self.declaration is not None
        return counted(self._declarations, self.declaration, self.base.range, self.place.cluster, sources)


async def _compile(tenant: str, expressions: Sequence[Expression]) -> None:
    """In a thread, for the tenant who wrote them."""

    def work() -> None:
        for each in expressions:
            each.compile()

    await workers.run(tenant, work)
