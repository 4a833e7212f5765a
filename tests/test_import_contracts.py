"""The contract of the project's own finds a circle, however long."""

from __future__ import annotations

import pytest
from grimp import ImportGraph

from tools.import_contracts import NoCycles

CONTRACT = NoCycles("no circles", {}, {"name": "no circles"})


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
