"""The contracts of the project's own find what they forbid."""

from __future__ import annotations

import pytest
from grimp import ImportGraph

from tools.import_contracts import NoCycles, ViewsUseTheInterface

CONTRACT = NoCycles("no circles", {}, {"name": "no circles"})
INTERFACE = "lib.interface"
OPTIONS = {"name": "views", "packages": "lib_*", "library": "lib", "interface": INTERFACE, "agents": ["lib.client"]}
VIEWS = ViewsUseTheInterface("views", {}, OPTIONS)


def graph(*imports: tuple[str, str]) -> ImportGraph:
    made = ImportGraph()
    for importer, imported in imports:
        for module in (importer, imported):
            made.add_module(module)
        made.add_import(importer=importer, imported=imported)
    return made


@pytest.mark.parametrize("length", [2, 3, 9])
def test_a_circle_is_found_and_named(length: int) -> None:
    circle = [(f"m{number}", f"m{(number + 1) % length}") for number in range(length)]
    check = CONTRACT.check(graph(("top", "m0"), *circle, ("m0", "bottom")), verbose=False)
    assert not check.kept
    assert set(check.metadata["cycle"]) == {f"m{number}" for number in range(length)}


def test_what_leads_down_on_several_ways_is_no_circle() -> None:
    assert CONTRACT.check(graph(("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")), verbose=False).kept


@pytest.mark.parametrize(
    ("imports", "wrong"),
    [
        ([("lib_a.view", INTERFACE), ("lib_a.view", "lib_a.more"), ("lib_a.more", "json")], []),
        ([("lib_a.view", INTERFACE), ("lib_a.view", "lib.view")], [("lib_a.view", "lib.view")]),
        ([("lib_a.agent", "lib.client.calls")], []),
        ([("lib_a.agent", "lib.clients")], [("lib_a.agent", "lib.clients")]),
        ([("lib_a.view", INTERFACE), ("lib_a.view", "lib.client")], [("lib_a.view", "lib.client")]),
        ([("lib.view", "lib.other")], []),
    ],
)
def test_a_view_that_imports_more_is_found(imports: list[tuple[str, str]], wrong: list[tuple[str, str]]) -> None:
    check = VIEWS.check(graph(*imports), verbose=False)
    assert (check.kept, check.metadata["wrong"]) == (not wrong, wrong)
