"""Managers who wrote in other versions, where a webhook converts between these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenantry.kube.apply.managed_fields import record_update
from tenantry.kube.apply.other_versions import NotConverted, OtherVersions
from tenantry.kube.apply.server_side import apply
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tests.clients import conversion
from tests.clients.conversion import convert

GROUP = "x.example"
DEFINITION = definition_from_crd({**conversion.crd(GROUP, {"url": "https://x.example/"}), "status": {}})
SCHEMAS = {f"{GROUP}/{name}": shape.schema for name, shape in DEFINITION.versions.items()}
NOW = "2026-01-01T00:00:00Z"


def converting(compute: Callable[[OtherVersions], Any], how: Callable[[Object, str], Object | str] = convert) -> tuple[Any, int]:
    """The result, and how many objects were converted."""
    others, count = OtherVersions("Thing", SCHEMAS), 0
    while True:
        try:
            return compute(others), count
        except NotConverted as needed:
            others.put(needed, how(needed.obj, needed.target))
            count += 1


def applied(live: Object | None, version: str, manager: str, *, force: bool = False, **spec: Any) -> Object:
    config = {"apiVersion": f"{GROUP}/{version}", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec}
    here = None if live is None else convert(live, f"{GROUP}/{version}")
    made: Object = converting(
        lambda others: apply(
            here,
            config,
            manager=manager,
            force=force,
            api_version=f"{GROUP}/{version}",
            schema=SCHEMAS[f"{GROUP}/{version}"],
            now=NOW,
            kind="Thing",
            versions=list(SCHEMAS),
            others=others,
        )
    )[0]
    return {**made, "apiVersion": f"{GROUP}/{version}", "kind": "Thing"}


def owners(obj: Object) -> dict[str, list[str]]:
    return {entry["manager"]: sorted(entry["fieldsV1"]["f:spec"]) for entry in obj["metadata"].get("managedFields") or ()}


def test_a_field_of_another_version_is_in_conflict() -> None:
    live = applied(None, "v1", "one", size="3", note="n")
    with pytest.raises(StatusError, match=r'conflict with "one": \.spec\.size'):
        applied(live, "v2", "two", count=4)
    made = applied(live, "v2", "two", force=True, count=4)
    assert owners(made) == {"one": ["f:note"], "two": ["f:count"]}
    # An equal value is shared.
    assert owners(applied(live, "v2", "two", count=3)) == {"one": ["f:note", "f:size"], "two": ["f:count"]}


def test_what_is_not_applied_any_more_in_another_version_goes_away() -> None:
    live = applied(None, "v1", "one", size="3", note="n")
    made = applied(live, "v2", "one", count=3)
    assert made["spec"] == {"count": 3} and owners(made) == {"one": ["f:count"]}
    kept = applied(applied(live, "v2", "two", note="n"), "v2", "one", count=3)
    assert kept["spec"] == {"count": 3, "note": "n"}


def update(old: Object, how: Callable[[Object, str], Object | str] = convert, **spec: Any) -> tuple[Object, int]:
    obj = {**old, "metadata": dict(old["metadata"]), "spec": spec}
    api_version = old["apiVersion"]
    _, count = converting(
        lambda others: record_update(
            obj,
            old,
            manager="two",
            api_version=api_version,
            schema=SCHEMAS[api_version],
            now=NOW,
            versions=list(SCHEMAS),
            others=others,
        ),
        how,
    )
    return obj, count


def test_an_update_takes_fields_away_in_every_version() -> None:
    old = convert(applied(None, "v1", "one", size="3", note="n"), f"{GROUP}/v2")
    made, count = update(old, count=4, note="n")
    assert owners(made) == {"one": ["f:note"], "two": ["f:count"]}
    assert count == 2


@pytest.mark.parametrize("how", [lambda obj, target: "out of order", lambda obj, target: {**convert(obj, target), "other": 1}])
def test_where_nothing_can_be_compared_an_update_leaves_the_managers_as_they_were(how: Callable[[Object, str], Any]) -> None:
    old = convert(applied(None, "v1", "one", size="3"), f"{GROUP}/v2")
    assert owners(update(old, how, count=4)[0]) == {"one": ["f:size"]}


def test_an_object_in_one_version_is_not_taken_for_the_same_in_another() -> None:
    others = OtherVersions("Thing", {**SCHEMAS, f"{GROUP}/v3": SCHEMAS[f"{GROUP}/v2"]})
    obj = {"metadata": {"name": "a"}, "spec": {"size": "3"}}
    with pytest.raises(NotConverted) as needed:
        others.converted(obj, f"{GROUP}/v1", f"{GROUP}/v2")
    others.put(needed.value, {**obj, "spec": {"count": 3}})
    assert others.converted(obj, f"{GROUP}/v1", f"{GROUP}/v2")["spec"] == {"count": 3}
    with pytest.raises(NotConverted) as needed:
        others.converted(obj, f"{GROUP}/v1", f"{GROUP}/v3")
    assert needed.value.target == f"{GROUP}/v3"
