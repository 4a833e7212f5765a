"""The built-in types that every logical cluster has."""

from __future__ import annotations

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.types import (
    certificate_signing_request,
    cluster_trust_bundle,
    config_map,
    custom_resource_definition,
    events,
    lease,
    limit_range,
    namespace,
    pod_certificate_request,
    rbac,
    resource_quota,
    reviews,
    secret,
    service_account,
    storage_version_migration,
)

BUILTINS: tuple[ResourceDefinition, ...] = (
    namespace.DEFINITION,
    config_map.DEFINITION,
    secret.DEFINITION,
    service_account.DEFINITION,
    events.CORE_EVENTS,
    events.EVENTS,
    lease.DEFINITION,
    resource_quota.DEFINITION,
    limit_range.DEFINITION,
    rbac.ROLES,
    rbac.ROLE_BINDINGS,
    rbac.CLUSTER_ROLES,
    rbac.CLUSTER_ROLE_BINDINGS,
    custom_resource_definition.DEFINITION,
    certificate_signing_request.DEFINITION,
    cluster_trust_bundle.DEFINITION,
    pod_certificate_request.DEFINITION,
    storage_version_migration.DEFINITION,
    reviews.TOKEN_REVIEWS,
    reviews.SELF_SUBJECT_REVIEWS,
    reviews.SUBJECT_ACCESS_REVIEWS,
    reviews.SELF_SUBJECT_ACCESS_REVIEWS,
    reviews.LOCAL_SUBJECT_ACCESS_REVIEWS,
    reviews.SELF_SUBJECT_RULES_REVIEWS,
)
"""All built-in types, including reviews."""
