"""The view of replicated objects: `/services/replication/<cluster id>/<endpoint slice>/clusters/<consumer id>/…` (kcp)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tenantry.apiserver.authorization import ALLOWED, Attributes, Decision, Verdict
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.scope import Connector, Scope
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.status import PlainError, StatusError, bad_request
from tenantry.storage.range import Range
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.exports.conditions import is_true
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.hashing import export_hash
from tenantry.tenancy.exports.read_bindings import GROUP, binding_to, bindings_of, bound_resource, identity_of
from tenantry.tenancy.exports.virtual_storage import read_only, virtual_resource
from tenantry.tenancy.replication.cached_resource_controller import RESOURCE_VALID
from tenantry.tenancy.replication.replication_lookup import ReplicationLookup, Served
from tenantry.tenancy.types.cached_resource_names import BOTH
from tenantry.virtual.apiexport.published_visibility import Publication
from tenantry.virtual.view import READ_VERBS, Place, View, ViewContext
from tenantry.virtual.view_scope import ViewScope

ACCESS_DENIED = "access denied"
"""The only reason that a caller gets, as in kcp."""
_DENIED = Decision(Verdict.DENY, ACCESS_DENIED)
_NOT_ALLOWED = Decision(Verdict.NO_OPINION, ACCESS_DENIED)


class ReplicationView(View):
    """What a consumer reads in its workspace, at a URL of the provider: the replicated objects, as that consumer's.

    For callers that may do the same with `apiexports/content` of the export, in consumers that have bound it.
    """

    name = "replication"
    arguments = ("slice cluster", "endpoint slice")

    def __init__(self, context: ViewContext, *, exports: ExportLookup, apis: ClusterApis, lookup: ReplicationLookup) -> None:
        super().__init__(context)
        self._exports = exports
        self._apis = apis
        self._lookup = lookup

    def served(self, place: Place) -> Served | None:
        """The resource that the slice of a place serves; None if there is none."""
        for names in BOTH:
            served = self._lookup.served_by_slice(names, *place.arguments)
            if served is not None:
                status = (self.copy(names.slice_resource, *place.arguments) or {}).get("status") or {}
                # Otherwise the slice has no URLs: there is no status yet, or it says that something was missing.
                if is_true(status, "APIExportValid") and is_true(status, RESOURCE_VALID):
                    return served
        return None

    def is_open(self, served: Served, range_: Range) -> bool:
        """Whether a range shows the consumers of the export."""
        export = self._exports.get(*served.export)
        if export is None:
            return False
        return Publication(range_, export_hash(*served.export), str(export["metadata"]["uid"]).encode()).is_open

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        served = self.served(place)
        export = self._exports.get(*served.export) if served is not None else None
        entry = virtual_resource(export, *served.resource) if export is not None and served is not None else None
        schema = self._exports.schema(served.export[0], entry["schema"]) if entry is not None and served is not None else None
        if schema is None or export is None or served is None or not identity_of(export):
            return ()
        try:
            return (read_only(self._apis.bound_definition(schema, identity_of(export)), served.export),)
        except (StatusError, ValueError):
            # A schema that cannot be served.
            return ()

    def allows(self, place: Place, question: Attributes) -> bool:
        served = self.served(place)
        if served is None or question.verb not in READ_VERBS:
            return False
        cluster, name = served.export
        return self.may(question.user, question.verb, cluster, group=GROUP, resource="apiexports/content", name=name)

    def scope(self, place: Place, base: ClusterScope, path: str) -> Scope:
        return ReplicationScope(self, place, base)


class ReplicationScope(ViewScope):
    """One consumer in the view of one slice."""

    def __init__(self, view: ReplicationView, place: Place, base: ClusterScope) -> None:
        super().__init__(view, place, base)
        served = view.served(place)
        self._served = served if served is not None and view.is_open(served, base.range) else None

    def decide(self, attributes: Attributes) -> Decision:
        if not attributes.is_resource and attributes.path in HEALTH_PATHS:
            return super().decide(attributes)
        if self._served is None:
            if attributes.user.is_master:
                raise PlainError(404, "404 page not found")
            return _NOT_ALLOWED
        decision = self._decide(self._served, attributes)
        if decision.allowed and self.place.cluster is None:
            raise bad_request("Wildcard request not supported")
        return decision

    def _decide(self, served: Served, attributes: Attributes) -> Decision:
        if attributes.user.is_master:
            return ALLOWED
        if attributes.verb not in READ_VERBS or not self._is_bound(served):
            return _DENIED
        return ALLOWED if self.view.allows(self.place, attributes) else _NOT_ALLOWED

    def _is_bound(self, served: Served) -> bool:
        """Whether the consumer has bound the resource. The wildcard is refused later, to those who may use the view."""
        if self.place.cluster is None:
            return True
        binding = binding_to(bindings_of(self.base.range, self.place.cluster), *served.export)
        return binding is not None and bound_resource(binding, *served.resource) is not None

    def apis(self) -> ApiSet:
        return self.view.api_set(self.view.apis(self.place))

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        """The watches of replicated objects notice changes themselves."""
        return lambda: None

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        return self.base.scopes.virtual.connector(definition, self.base, self) if not subresource else None
