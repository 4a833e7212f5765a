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


def review(home: str) -> Any:
    return SimpleNamespace(home=home, cluster="consumer")


@pytest.mark.parametrize("held", CASES)
def test_those_are_asked_of_which_there_are_objects(held: tuple[str, ...]) -> None:
    admission = configured(held)
    assert list(admission.mutating(review("home"))) == [what for resource, what in MUTATING.items() if resource in held]
    assert list(admission.validating(review("home"))) == [what for resource, what in VALIDATING.items() if resource in held]
    assert not admission.mutating(review("other"))
    assert not admission.validating(review("other"))


def test_no_webhooks_are_asked_where_none_are_called() -> None:
    admission = configured(EVERY, calls=False)
    assert list(admission.mutating(review("home"))) == ["policies"]
    assert list(admission.validating(review("home"))) == ["policies"]


def test_quotas_are_asked_last_where_the_written_cluster_has_some() -> None:
    admission = configured(EVERY, quotas=True)
    *others, quotas = admission.validating(review("home"))
    assert others == ["policies", "webhooks"]
    assert not isinstance(quotas, str)
    assert len(admission.validating(review("other"))) == 1
    assert list(admission.mutating(review("home"))) == ["policies", "webhooks"]
