"""Which dynamic admission is asked about a write."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import pytest

from tenantry.tenancy.admission.configured_admission import ConfiguredAdmission
from tenantry.tenancy.resources import (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    RESOURCE_QUOTAS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)

MUTATING = {MUTATING_ADMISSION_POLICIES: "policies", MUTATING_WEBHOOK_CONFIGURATIONS: "webhooks"}
VALIDATING = {VALIDATING_ADMISSION_POLICIES: "policies", VALIDATING_WEBHOOK_CONFIGURATIONS: "webhooks"}
EVERY = (*MUTATING, *VALIDATING)
CASES = [each for size in range(len(EVERY) + 1) for each in combinations(EVERY, size)]


class Configurations:
    """The workspace `home` has these, and others have nothing."""

    def __init__(self, held: Sequence[str]) -> None:
        self.held = held

    def having(self, resources: Sequence[str], cluster: str) -> tuple[str, ...]:
        return tuple(each for each in resources if each in self.held) if cluster == "home" else ()


def configured(held: Sequence[str], *, calls: bool = True, quotas: bool = False) -> ConfiguredAdmission:
    given: Any = Configurations(held)
    webhooks: Any = "webhooks" if calls else None
    policies: Any = "policies"
    counted: Any = SimpleNamespace(is_in_effect=lambda review: quotas)
    return ConfiguredAdmission(given, mutating_policies=policies, validating_policies=policies, webhooks=webhooks, quotas=counted)


def names(asked: Sequence[Any]) -> list[Any]:
    return [*asked]


def review(home: str, cluster: str = "consumer") -> Any:
    return SimpleNamespace(home=home, cluster=cluster)


@pytest.mark.parametrize("held", CASES)
def test_those_are_asked_of_which_there_are_objects(held: tuple[str, ...]) -> None:
    admission = configured(held)
    assert names(admission.mutating(review("home"))) == [what for resource, what in MUTATING.items() if resource in held]
    assert names(admission.validating(review("home"))) == [what for resource, what in VALIDATING.items() if resource in held]
    assert not admission.mutating(review("other"))
    assert not admission.validating(review("other"))


def test_no_webhooks_are_asked_where_none_are_called() -> None:
    admission = configured(EVERY, calls=False)
    assert names(admission.mutating(review("home"))) == ["policies"]
    assert names(admission.validating(review("home"))) == ["policies"]


@pytest.mark.parametrize("cluster", ["consumer", "home"])
@pytest.mark.parametrize("held", CASES)
def test_quotas_are_asked_last_where_the_written_cluster_has_some(held: tuple[str, ...], cluster: str) -> None:
    admission = configured((*held, RESOURCE_QUOTAS) if cluster == "home" else held, quotas=True)
    *others, quotas = names(admission.validating(review("home", cluster)))
    assert others == [what for resource, what in VALIDATING.items() if resource in held]
    assert not isinstance(quotas, str)
    assert names(admission.mutating(review("home", cluster))) == [what for resource, what in MUTATING.items() if resource in held]


def test_quotas_of_the_home_of_an_api_are_not_asked() -> None:
    assert not configured((RESOURCE_QUOTAS,)).validating(review("home"))
