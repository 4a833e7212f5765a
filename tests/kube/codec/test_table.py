"""Tables of objects: how large a row may be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import orjson

from tenantry.kube.codec.table import table
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.printer_columns import columns_of
from tenantry.kube.types import config_map

NOW = datetime(2026, 12, 1, 10, 0, tzinfo=UTC)


def shown(paths: list[str], obj: Object) -> list[object]:
    columns = columns_of([{"name": path, "type": "string", "jsonPath": path} for path in paths])
    version = replace(config_map.DEFINITION.versions["v1"], columns=columns, memo={})
    definition: ResourceDefinition = replace(config_map.DEFINITION, versions={"v1": version})
    made = table(definition, "v1", [obj], include_object="None", list_metadata=None, columns=False, now=NOW)
    (row,) = made["rows"]
    cells: list[object] = row["cells"][1:]
    return cells


def test_columns_that_show_the_same_large_field_do_not_multiply_it() -> None:
    obj: Object = {"metadata": {"name": "a"}, "spec": {"text": "x" * 100_000}, "short": "y" * 60}
    cells = shown([".spec"] * 50 + [".short"] * 20, obj)
    assert len(orjson.dumps(cells)) < 4 * len(orjson.dumps(obj))
    assert cells[0] == cells[1] == orjson.dumps(obj["spec"]).decode()
    assert cells[49] is None
    # Short ones are there.
    assert cells[50:] == [obj["short"]] * 20


def test_long_texts_of_a_usual_row_are_all_there() -> None:
    obj: Object = {"metadata": {"name": "a"}, **{f"f{number}": "x" * (900 + number) for number in range(9)}}
    assert shown([f".f{number}" for number in range(9)], obj) == [obj[f"f{number}"] for number in range(9)]
