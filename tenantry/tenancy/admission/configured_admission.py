"""Which dynamic admission is asked about a write: the kinds that its cluster has configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from tenantry.apiserver.admission.dynamic import DynamicAdmission
from tenantry.apiserver.admission.review import Review
from tenantry.tenancy.admission.configurations import AdmissionConfigurations
from tenantry.tenancy.admission.resource_quota import ResourceQuotaAdmission
from tenantry.tenancy.resources import (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    RESOURCE_QUOTAS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)

_NONE: Sequence[DynamicAdmission] = ()


class ConfiguredAdmission:
    """Policies are asked before webhooks, as upstream, and quotas last. A binding alone has no effect.

    `webhooks`: None where none are called.
    """

    def __init__(
        self,
        configurations: AdmissionConfigurations,
        *,
        mutating_policies: DynamicAdmission,
        validating_policies: DynamicAdmission,
        webhooks: DynamicAdmission | None,
        quotas: ResourceQuotaAdmission,
    ) -> None:
        self._configurations = configurations
        self._quotas = quotas
        mutating = {MUTATING_ADMISSION_POLICIES: mutating_policies}
        validating = {VALIDATING_ADMISSION_POLICIES: validating_policies}
        if webhooks is not None:
            mutating[MUTATING_WEBHOOK_CONFIGURATIONS] = webhooks
            validating[VALIDATING_WEBHOOK_CONFIGURATIONS] = webhooks
        self._mutating, self._mutating_by = tuple(mutating), _by_configured(mutating)
        # In most writes one look-up finds quotas, too.
        self._counted_by = _by_configured({**validating, RESOURCE_QUOTAS: quotas})
        self._counted = (*validating, RESOURCE_QUOTAS)
        self._validating, self._validating_by = tuple(validating), _by_configured(validating)

    def mutating(self, review: Review) -> Sequence[DynamicAdmission]:
        found = self._configurations.having(self._mutating, review.home)
        return self._mutating_by[found] if found else _NONE

    def validating(self, review: Review) -> Sequence[DynamicAdmission]:
        home = review.home
        if home == review.cluster:
            found = self._configurations.having(self._counted, home)
            return self._counted_by[found] if found else _NONE
        found = self._configurations.having(self._validating, home)
        asked = self._validating_by[found] if found else _NONE
        return (*asked, self._quotas) if self._quotas.is_in_effect(review) else asked


def _by_configured(kinds: Mapping[str, DynamicAdmission]) -> Mapping[tuple[str, ...], Sequence[DynamicAdmission]]:
    """What is asked, by the resources of which there are objects."""
    return {
        found: tuple(kinds[resource] for resource in found)
        for size in range(len(kinds) + 1)
        for found in combinations(kinds, size)
    }
