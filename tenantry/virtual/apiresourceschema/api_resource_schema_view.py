"""The view of a consumer's schemas: `/services/apiresourceschema/<cluster id>[/clusters/<the same id, or *>]/…`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tenantry.apiserver.authorization import ALLOWED, Attributes, Decision, Verdict
from tenantry.apiserver.endpoints.health import HEALTH_PATHS
from tenantry.apiserver.scope import Scope
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.status import PlainError
from tenantry.placement.catalog import Entry
from tenantry.storage.keys import Key
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.computed.computed_record import ComputedRecord
from tenantry.tenancy.computed.sources import Sources
from tenantry.tenancy.exports.binding_status import BOUND
from tenantry.tenancy.exports.hashing import EXPORT_LABEL, export_hash
from tenantry.tenancy.exports.read_bindings import BINDING_RESOURCE, decoded, reference_of
from tenantry.tenancy.resources import API_BINDINGS, API_EXPORTS, API_RESOURCE_SCHEMAS, LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.virtual.computed.computed_view import ComputedScope, ComputedView
from tenantry.virtual.restricted_definitions import NO_SUBRESOURCES, restricted
from tenantry.virtual.view import READ_VERBS, Place

ACCESS_DENIED = "access denied"
"""The only reason that a caller gets, as in kcp."""


class ApiResourceSchemaView(ComputedView):
    """The APIResourceSchemas of all exports that the workspace has bound, on whichever shard their provider is.

    For callers that may access the workspace and `get` APIBindings in it, discovery included (kcp). The schemas are shown as they
    are in the provider's workspace. If two providers have a schema of one name, that of the lower cluster id is shown.

    Only admission writes the label of the export, for callers that may bind it. A status can be written by a provider that claims
    APIBindings, so it counts where the label agrees.
    """

    name = "apiresourceschema"
    arguments = ("cluster",)
    per_cluster = False
    repeats_cluster = True

    def cluster_of(self, arguments: tuple[str, ...]) -> str | None:
        return arguments[0]

    def allows(self, place: Place, question: Attributes) -> bool:
        group, resource = BINDING_RESOURCE
        return question.verb in READ_VERBS and self.may(question.user, "get", place.cluster or "", group=group, resource=resource)

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return (restricted(self.context.definitions.api_resource_schemas, READ_VERBS, NO_SUBRESOURCES),)

    def compute(self, place: Place, sources: Sources) -> Iterator[ComputedRecord | None]:
        definition = self.context.definitions.api_resource_schemas
        chosen: dict[str, tuple[str, Entry, int]] = {}
        for record in sources.records(API_BINDINGS, place.cluster or ""):
            binding = decoded(record)
            status = binding.get("status") or {}
            home, export_name = status.get("apiExportClusterName") or "", reference_of(binding)[1]
            bound = home and record.head.labels.get(EXPORT_LABEL) == export_hash(home, export_name)
            if status.get("phase") == BOUND and bound:
                export = sources.copy(API_EXPORTS, home, export_name)
                for name in _schema_names(export):
                    schema = sources.copy(API_RESOURCE_SCHEMAS, home, name)
                    if export is not None and schema is not None and (name not in chosen or home < chosen[name][0]):
                        newest = max(schema.revision, export.revision, sources.revision_of(record))
                        chosen[name] = home, schema, newest
                    yield None
            yield None
        for _, schema, newest in chosen.values():
            yield ComputedRecord.of_copy(definition, schema, newest)

    def scope(self, place: Place, base: ClusterScope, path: str) -> Scope:
        return SchemasScope(self, place, base)


class SchemasScope(ComputedScope):
    """The schemas of one workspace."""

    def decide(self, attributes: Attributes) -> Decision:
        if not attributes.is_resource and attributes.path in HEALTH_PATHS:
            return super().decide(attributes)
        if not self._exists:
            if attributes.user.is_master:
                raise PlainError(404, "404 page not found")
            return Decision(Verdict.NO_OPINION, ACCESS_DENIED)
        return ALLOWED if super().decide(attributes).allowed else Decision(Verdict.NO_OPINION, ACCESS_DENIED)

    @property
    def _exists(self) -> bool:
        cluster = self.place.cluster or ""
        return self.base.range.get(Key(cluster, LOGICAL_CLUSTERS, "", NAME)) is not None


def _schema_names(export: Entry | None) -> Iterator[str]:
    spec = (export.object.get("spec") or {}) if export is not None else {}
    return (resource["schema"] for resource in spec.get("resources") or ())
