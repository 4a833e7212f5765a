"""The built-in types that every logical cluster has."""

from __future__ import annotations

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.types import (
    config_map,
    custom_resource_definition,
    events,
    lease,
    limit_range,
    mutating_admission_policy,
    namespace,
    rbac,
    resource_quota,
    reviews,
    secret,
    service_account,
    validating_admission_policy,
    webhook_configuration,
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
    validating_admission_policy.POLICIES,
    validating_admission_policy.BINDINGS,
    webhook_configuration.VALIDATING,
    webhook_configuration.MUTATING,
    mutating_admission_policy.POLICIES,
    mutating_admission_policy.BINDINGS,
    custom_resource_definition.DEFINITION,
    reviews.TOKEN_REVIEWS,
    reviews.SELF_SUBJECT_REVIEWS,
    reviews.SUBJECT_ACCESS_REVIEWS,
    reviews.SELF_SUBJECT_ACCESS_REVIEWS,
    reviews.LOCAL_SUBJECT_ACCESS_REVIEWS,
    reviews.SELF_SUBJECT_RULES_REVIEWS,
)
"""All built-in types, including reviews."""
