"""Rows of Tables that are made from stored values, against those that are made from whole objects."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apiserver import records
from tenantry.apiserver.negotiation import negotiate
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.stored_rows import row_of_stored
from tenantry.kube.codec import stored
from tenantry.kube.codec.table import table
from tenantry.kube.custom import definition_from_crd
from tenantry.kube.objects import Object
from tenantry.storage.keys import Key
from tenantry.storage.record import NO_LABELS, Head, Record
from tests.apiserver.range_server import crd

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
NOW = datetime(2026, 11, 30, tzinfo=UTC)
PATHS = (
    ".spec",
    ".spec.a",
    ".spec.a[0]",
    ".spec.a[-1].b",
    ".spec.a.b",
    ".spec.a.b.c",
    ".spec.a.b.c.a",
    ".spec.b.c",
    ".spec.c.*",
    ".spec.a.b..c",
    ".status.b.a",
    ".spec..b",
    ".spec.*",
    ".spec['a','b']",
    '.status.conditions[?(@.type=="Ready")].status',
    ".status.a",
    ".extra",
    ".metadata.name",
    ".metadata.creationTimestamp",
    ".metadata.generation",
    ".metadata.labels",
    ".metadata.labels.a",
    ".metadata.resourceVersion",
    ".metadata.name.a",
    ".metadata",
    ".kind",
    ".apiVersion",
)
ANYTHING = ("..b", ".*", "['spec'].a", ".spec[?(@.a==$.kind)]", ".spec}{.status")
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc") | st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


def call_of(columns: list[Object], include: str = "") -> Call:
    """A list of a type that takes everything, with these columns."""
    made = crd()
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    made["spec"]["versions"] = [
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": anything},
            "additionalPrinterColumns": columns,
        }
    ]
    definition = definition_from_crd(made)
    request = SimpleNamespace(parameter=lambda name: include)
    shape = definition.versions["v1"]
    return cast(Call, SimpleNamespace(definition=definition, version="v1", shape=shape, request=request))


@given(
    columns=st.lists(st.tuples(st.sampled_from(PATHS), st.sampled_from(("string", "integer", "number", "boolean", "date")))),
    obj=st.fixed_dictionaries({}, optional={"spec": VALUES, "status": VALUES, "extra": VALUES}),
    labels=st.none() | st.dictionaries(st.sampled_from("abc"), st.text(max_size=5), min_size=1),
    created=st.none() | st.sampled_from(("2026-11-29T00:00:00Z", "", "never")),
    include=st.sampled_from(("", "Metadata", "None")),
)
def test_rows_are_those_of_whole_objects(
    columns: list[tuple[str, str]], obj: Object, labels: Object | None, created: str | None, include: str
) -> None:
    declared = [{"name": f"c{number}", "type": kind, "jsonPath": path} for number, (path, kind) in enumerate(columns)]
    call = call_of(declared, include)
    metadata: Object = {"name": "a", "uid": "u", "generation": 3}
    metadata |= ({"labels": labels} if labels else {}) | ({"creationTimestamp": created} if created is not None else {})
    value = stored.encode({**obj, "metadata": metadata}, floats=True)
    mark = {"": stored.schema_mark(call.definition, call.shape)}
    key = Key("root", call.definition.storage_key, "default", "a")
    record = Record(key, value, 7, Head("u", labels or NO_LABELS, mark, False, ()))
    row = row_of_stored(call, negotiate(TABLE, watch=False, custom=True, protobuf=False), NOW)
    assert row is not None
    whole = table(
        call.definition,
        "v1",
        [records.decode(record, call.definition, "v1")],
        include_object=include,
        list_metadata=None,
        columns=False,
        now=NOW,
    )["rows"][0]
    assert row(record) == orjson.dumps(whole)


@pytest.mark.parametrize("path", ANYTHING)
def test_columns_that_may_read_anything_need_whole_objects(path: str) -> None:
    call = call_of([{"name": "c", "type": "string", "jsonPath": path}])
    columns = call.shape.columns
    row = row_of_stored(call, negotiate(TABLE, watch=False, custom=True, protobuf=False), NOW)
    assert row is None or len(columns) == 1


@pytest.mark.parametrize("include", ["Object", "Other"])
def test_other_rows_need_whole_objects(include: str) -> None:
    call = call_of([{"name": "c", "type": "string", "jsonPath": ".spec.a"}], include)
    assert row_of_stored(call, negotiate(TABLE, watch=False, custom=True, protobuf=False), NOW) is None
