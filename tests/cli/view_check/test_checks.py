"""Each check passes for a view that is right, and fails for one that is wrong in what it is about."""

from __future__ import annotations

import pytest

from tenantry.cli.view_check import budget, watching
from tenantry.cli.view_check.run import CHECKS, FAILED, OK, SKIPPED, check
from tenantry.virtual.interface import View
from tenantry_personal_workspaces import PersonalWorkspaces
from tests.cli.view_check import views
from tests.virtual.test_translated_writes import Kilos

WRONG: dict[type[View], tuple[str, ...]] = {
    views.NoDiscovery: ("discovery",),
    views.OtherApis: ("discovery",),
    views.ForEverybody: ("authorization",),
    views.Alternating: ("lists",),
    views.OtherLabels: ("label-selectors",),
    views.OtherNames: ("field-selectors",),
    views.Forgetful: ("paging",),
    views.Restless: ("tables", "partial-metadata"),
    views.OtherInLists: ("watches", "watch-label-selectors", "watch-field-selectors"),
    views.WrongPast: ("resumed-watches",),
    views.Loses: ("writes",),
    views.FailingStatus: ("types",),
    views.RestlessStatus: ("types",),
    views.Raises: ("errors",),
    views.Slow: ("budget",),
    views.SlowCounts: ("budget",),
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SECONDS", 0.5)
    monkeypatch.setattr(budget, "OBJECTS", 20)


def test_each_check_can_fail() -> None:
    assert {name for names in WRONG.values() for name in names} == set(CHECKS)


@pytest.mark.parametrize("view", WRONG, ids=lambda view: view.__name__)
async def test_what_is_wrong_is_found(view: type[View]) -> None:
    outcomes = await check(view, WRONG[view])
    assert [(each.check, each.result, bool(each.why)) for each in outcomes] == [(name, FAILED, True) for name in WRONG[view]]


async def test_a_view_that_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SECONDS", 5.0)
    monkeypatch.setattr(budget, "OBJECTS", 1000)
    assert {each.check: (each.result, each.why) for each in await check(views.WithTypes)} == dict.fromkeys(CHECKS, (OK, ""))


@pytest.mark.parametrize("view", [views.Counts, PersonalWorkspaces], ids=lambda view: view.__name__)
async def test_views_that_only_read(view: type[View], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "SECONDS", 5.0)
    outcomes = {each.check: (each.result, each.why) for each in await check(view)}
    assert [name for name, (result, _) in outcomes.items() if result == FAILED] == [], outcomes
    assert outcomes["writes"][0] == SKIPPED


async def test_a_view_without_a_fixture() -> None:
    with pytest.raises(ValueError, match=r"Kilos has no `fixture`"):
        await check(Kilos)
