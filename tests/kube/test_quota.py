"""Quota arithmetic."""

from __future__ import annotations

from tenantry.kube.objects import GroupResource
from tenantry.kube.quota import charge, counted_keys, enforceable, exceeded, resource_of, unknown_usage

CONFIG_MAPS, WIDGETS = GroupResource("", "configmaps"), GroupResource("example.com", "widgets")
QUOTA = {
    "metadata": {"name": "q"},
    "status": {
        "hard": {"configmaps": "3", "count/configmaps": "10", "count/widgets.example.com": "1"},
        "used": {"configmaps": "3", "count/configmaps": "3"},
    },
}


def test_which_keys_count() -> None:
    hard = QUOTA["status"]["hard"]  # type: ignore[index]
    assert counted_keys(hard, CONFIG_MAPS) == ("configmaps", "count/configmaps")
    assert counted_keys(hard, WIDGETS) == ("count/widgets.example.com",)
    assert counted_keys({"cpu": "1", "pods": "1"}, GroupResource("example.com", "pods")) == ()
    assert [resource_of(key) for key in ("configmaps", "count/widgets.example.com", "cpu")] == [CONFIG_MAPS, WIDGETS, None]


def test_exceeding() -> None:
    assert exceeded(QUOTA, {"configmaps": "1", "count/configmaps": "1"}) == (
        "exceeded quota: q, requested: configmaps=1, used: configmaps=3, limited: configmaps=3"
    )
    assert exceeded(QUOTA, {"count/configmaps": "1"}) == ""
    assert exceeded(QUOTA, {"count/configmaps": "8"}).startswith("exceeded quota: q, requested: count/configmaps=8,")


def test_charging() -> None:
    assert charge(QUOTA, {"count/configmaps": "1"})["count/configmaps"] == "4"
    assert charge(QUOTA, {"count/configmaps": "-9"})["count/configmaps"] == "0"


def test_uncounted() -> None:
    assert not enforceable(QUOTA, ["count/widgets.example.com"])
    assert unknown_usage(QUOTA, ["configmaps", "count/widgets.example.com"]) == (
        "status unknown for quota: q, resources: count/widgets.example.com"
    )
