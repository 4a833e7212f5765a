"""Paths as a directory resolves them, and tenants as it counts them."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.placement.map import RangeInfo
from tenantry.placement.paths.cluster_paths import WORKSPACES
from tenantry.placement.paths.directory import Directory
from tenantry.storage.keys import catalog_key
from tenantry.storage.memory import MemoryStore
from tests.placement.test_catalog import change
from tests.support.maps import MapInMemory

RANGES = (
    RangeInfo(name="range-2", start="000", end="001", shard="s1"),
    RangeInfo(name="root", start="r", end="t", shard="s1"),
)


def directory_of(workspaces: dict[tuple[str, str], Object]) -> tuple[Catalog, Directory]:
    catalog = Catalog(MemoryStore())
    directory = Directory(catalog, MapInMemory(RANGES), "https://x")
    directory.start()
    for number, ((parent, name), projection) in enumerate(workspaces.items()):
        catalog.committed(number + 1, [change({catalog_key(WORKSPACES, parent, name): orjson.dumps(projection)})])
    return catalog, directory


def test_paths_are_walked_from_any_cluster() -> None:
    _, directory = directory_of({("root", "org"): {"cluster": "000a"}, ("000a", "team"): {"cluster": "raaa"}})
    assert directory.cluster_of("root:org:team") == "raaa"
    assert directory.cluster_of("000a:team") == "raaa"
    assert directory.path_of("raaa") == "root:org:team"
    assert directory.resolve("root:org") == ("000a", "range-2", "s1", "https://x/ranges/range-2", 1)
    assert directory.tenants("root") == directory.tenants("range-2") == 1
    assert directory.cluster_of("system:admin") == "system:admin"
    assert directory.path_of("elsewhere") is None


@pytest.mark.parametrize(
    ("path", "code"), [("root:no", 404), ("ROOT", 400), ("root:", 400), ("", 400), ("zzz", 404), ("a b", 400)]
)
def test_what_does_not_exist_is_not_found_and_what_is_no_path_is_bad(path: str, code: int) -> None:
    _, directory = directory_of({})
    with pytest.raises(StatusError) as refused:
        directory.resolve(path)
    assert refused.value.code == code


def test_an_unavailable_workspace_is_503() -> None:
    _, directory = directory_of({("root", "org"): {"cluster": "000a", "phase": "Unavailable"}})
    with pytest.raises(StatusError) as refused:
        directory.resolve("root:org")
    assert refused.value.code == 503


@pytest.mark.parametrize("path", ["root:org:No", "root:org:team:", "root:org:a b"])
def test_what_is_no_path_is_bad_also_below_an_unavailable_workspace(path: str) -> None:
    _, directory = directory_of({("root", "org"): {"cluster": "000a", "phase": "Unavailable"}})
    with pytest.raises(StatusError) as refused:
        directory.cluster_of(path)
    assert refused.value.code == 400


def test_a_path_leads_through_a_workspace_while_it_is_in_a_phase_for_that() -> None:
    catalog, directory = directory_of({})
    key = catalog_key(WORKSPACES, "root", "org")
    answers: list[object] = []
    for number, phase in enumerate(("Scheduling", "Initializing", "Ready", "Unavailable", "Ready", None)):
        raw = orjson.dumps({"cluster": "000a", "phase": phase}) if phase else None
        catalog.committed(number + 1, [change({key: raw})])
        try:
            answers.append(directory.cluster_of("root:org"))
        except StatusError as refused:
            answers.append(refused.code)
    assert answers == [None, "000a", "000a", 503, "000a", None]
    # A new workspace of this name, in no phase yet, is not kept out by the phase of the one before.
    catalog.committed(7, [change({key: orjson.dumps({"cluster": "000b"})})])
    assert directory.cluster_of("root:org") == "000b"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([None, "000a", "000b", "rc"])), max_size=20))
@settings(max_examples=60, deadline=None)
def test_tenants_are_counted_as_they_come_and_go(steps: list[tuple[str, str | None]]) -> None:
    catalog, directory = directory_of({})
    now: dict[str, str] = {}
    for number, (name, cluster) in enumerate(steps):
        if cluster in now.values():
            continue
        key = catalog_key(WORKSPACES, "root", name)
        raw = orjson.dumps({"cluster": cluster}) if cluster else None
        catalog.committed(number + 1, [change({key: raw})])
        now.pop(name, None)
        if cluster:
            now[name] = cluster
    assert directory.tenants("range-2") == sum(c.startswith("000") for c in now.values())
    assert directory.tenants("root") == sum(c.startswith("r") for c in now.values())
    for name, cluster in now.items():
        assert directory.parent_of(cluster) == ("root", name)
