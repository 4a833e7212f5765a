"""The admission chain of logical clusters: all plugins, and their order.

First, reserved labels, annotations and finalizers that users sent are removed, so that no other plugin sees them. Then follow,
in kcp's order, namespaces, the rules of workspaces and exports, reserved names, and escalation checks. Quotas are last, because
no later plugin may refuse a write that was charged.
"""

from __future__ import annotations

from typing import Protocol

from tenantry.apiserver.admission.chain import AdmissionChain
from tenantry.apiserver.admission.dynamic import WholeAdmission
from tenantry.apiserver.admission.webhooks.call_context import CallContext, WebhookCalls
from tenantry.apiserver.admission.webhooks.webhook_admission import WebhookAdmission
from tenantry.placement.catalog import Catalog
from tenantry.placement.paths.directory import Directory
from tenantry.placement.peers import Peers
from tenantry.storage.cell import Cell
from tenantry.tenancy.admission.certificates import CertificatesAdmission
from tenantry.tenancy.admission.configurations import AdmissionConfigurations
from tenantry.tenancy.admission.configured_admission import ConfiguredAdmission
from tenantry.tenancy.admission.escalation import EscalationAdmission
from tenantry.tenancy.admission.limit_ranger import LimitRangerAdmission
from tenantry.tenancy.admission.namespace_lifecycle import NamespaceLifecycleAdmission
from tenantry.tenancy.admission.object_count import ObjectCountAdmission
from tenantry.tenancy.admission.param_access import ParamAccessAdmission
from tenantry.tenancy.admission.path_annotation import PathAnnotationAdmission
from tenantry.tenancy.admission.policies.mutating_policies import mutating_policies
from tenantry.tenancy.admission.policies.parameters import Parameters
from tenantry.tenancy.admission.policies.remote_parameters import RemoteParameters
from tenantry.tenancy.admission.policies.validating_policies import validating_policies
from tenantry.tenancy.admission.reserved_crd import ReservedCrdAdmission
from tenantry.tenancy.admission.reserved_metadata import ReservedMetadataAdmission
from tenantry.tenancy.admission.resource_quota import ResourceQuotaAdmission
from tenantry.tenancy.admission.shared_facts import SharedFacts
from tenantry.tenancy.admission.system_finalizers import SystemFinalizersAdmission
from tenantry.tenancy.admission.system_roles import SystemRolesAdmission
from tenantry.tenancy.admission.total_sizes import TotalSizesAdmission
from tenantry.tenancy.admission.view_type_copies import ViewTypeCopiesAdmission
from tenantry.tenancy.admission.webhooks.webhook_index import ClusterWebhooks
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.catalog_copies import copied_view_types
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.exports.admission.claim_escalation import ClaimEscalationAdmission
from tenantry.tenancy.exports.admission.export_plugins import plugins as export_plugins
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.permission_claims import Claims
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.replication.admission.cached_resource import plugins as cached_resource_plugins
from tenantry.tenancy.replication.publications import Publications
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.workspaces.admission.workspace_plugins import plugins as workspace_plugins
from tenantry.tenancy.workspaces.scheduler import Scheduler
from tenantry.tenancy.workspaces.workspace_types import WorkspaceTypes


class BuildAdmission(Protocol):
    """Makes the admission chain of a shard of the parts that plugins need: `build`, or another one in tests."""

    def __call__(
        self,
        *,
        cell: Cell,
        catalog: Catalog,
        directory: Directory,
        definitions: SystemDefinitions,
        workspace_types: WorkspaceTypes,
        scheduler: Scheduler,
        exports: ExportLookup,
        claims: Claims,
        authorizer: ClusterAuthorizer,
        apis: ClusterApis,
        publications: Publications,
        local_ranges: LocalRanges,
        webhooks: WebhookCalls | None,
        peers: Peers,
    ) -> WholeAdmission: ...


def build(
    *,
    cell: Cell,
    catalog: Catalog,
    directory: Directory,
    definitions: SystemDefinitions,
    workspace_types: WorkspaceTypes,
    scheduler: Scheduler,
    exports: ExportLookup,
    claims: Claims,
    authorizer: ClusterAuthorizer,
    apis: ClusterApis,
    publications: Publications,
    local_ranges: LocalRanges,
    webhooks: WebhookCalls | None,
    peers: Peers,
) -> AdmissionChain:
    """The admission chain of a shard. `webhooks`: None where none are called."""
    configurations = AdmissionConfigurations(cell=cell, catalog=catalog, local_ranges=local_ranges)
    parameters = Parameters(cell, apis, RemoteParameters(directory=directory, peers=peers))
    facts = SharedFacts(cell=cell, apis=apis, authorizer=authorizer, claims=claims)
    called: WebhookAdmission | None = None
    if webhooks is not None:
        called = WebhookAdmission(CallContext(index=ClusterWebhooks(configurations), calls=webhooks, facts=facts))
    quotas = ResourceQuotaAdmission()
    configured = ConfiguredAdmission(
        configurations,
        mutating_policies=mutating_policies(facts=facts, parameters=parameters, configurations=configurations),
        validating_policies=validating_policies(facts=facts, parameters=parameters, configurations=configurations),
        webhooks=called,
        quotas=quotas,
    )
    return AdmissionChain(
        [
            ReservedMetadataAdmission(),
            SystemFinalizersAdmission(definitions=definitions),
            NamespaceLifecycleAdmission(),
            *workspace_plugins(
                cell=cell,
                directory=directory,
                definitions=definitions,
                workspace_types=workspace_types,
                scheduler=scheduler,
                authorizer=authorizer,
            ),
            *export_plugins(exports=exports, claims=claims, authorizer=authorizer),
            *cached_resource_plugins(apis=apis, publications=publications, authorizer=authorizer),
            PathAnnotationAdmission(directory=directory),
            ReservedCrdAdmission(definitions=definitions),
            EscalationAdmission(authorizer),
            CertificatesAdmission(authorizer),
            ParamAccessAdmission(cell=cell, apis=apis, authorizer=authorizer),
            ClaimEscalationAdmission(authorizer),
            SystemRolesAdmission(cell=cell, catalog=catalog),
            LimitRangerAdmission(),
            TotalSizesAdmission(),
            ObjectCountAdmission(),
            ViewTypeCopiesAdmission(copied_view_types(definitions), catalog=catalog),
        ],
        charging=[quotas],
        configured=configured,
    )
