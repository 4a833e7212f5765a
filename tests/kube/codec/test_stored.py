from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.codec import stored
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.schema.structural import Schema

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def definition(schema: Schema | None = None, **version: object) -> ResourceDefinition:
    return ResourceDefinition(
        group="g.example",
        plural="things",
        singular="thing",
        kind="Thing",
        list_kind="ThingList",
        namespaced=True,
        versions={"v1": Version(name="v1", schema=schema or ANYTHING, **version)},  # type: ignore[arg-type]
        storage_version="v1",
        custom=True,
    )


ANYTHING = Schema(type="object", preserve_unknown=True)
DEFAULTED = Schema(
    type="object",
    properties={"spec": Schema(type="object", properties={"mode": Schema(type="string", default="auto", has_default=True)})},
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=6), JSON, max_size=3), st.dictionaries(st.text(max_size=6), JSON, max_size=3))
def test_what_is_stored_is_served_and_decoded_with_its_version(metadata: dict[str, Any], rest: dict[str, Any]) -> None:
    thing = definition()
    obj = {**rest, "apiVersion": "g.example/v1", "kind": "Thing", "metadata": {**metadata, "name": "n", "resourceVersion": "7"}}
    value = stored.encode(obj)
    assert value.startswith(stored.HEAD)
    assert obj["metadata"]["resourceVersion"] == "7"
    wanted = {**obj, "metadata": {**obj["metadata"], "resourceVersion": "42"}}
    assert orjson.loads(stored.serve(value, 42, stored.prefix(thing, "v1"))) == wanted
    assert stored.decode(value, thing, "v1", 42) == wanted


def test_items_of_built_in_lists_bear_no_kind() -> None:
    thing = definition()
    assert b"Thing" in stored.prefix(thing, "v1", item=True)
    built_in = ResourceDefinition(
        group="",
        plural="configmaps",
        singular="configmap",
        kind="ConfigMap",
        list_kind="ConfigMapList",
        namespaced=True,
        versions=thing.versions,
        storage_version="v1",
    )
    assert stored.prefix(built_in, "v1", item=True) == b'{"metadata":{"resourceVersion":"'
    assert stored.prefix(built_in, "v1").startswith(b'{"apiVersion":"v1","kind":"ConfigMap",')


def test_a_newer_schema_defaults_old_values_when_they_are_read() -> None:
    value = stored.encode({"metadata": {"name": "n"}, "spec": {}})
    old, new = definition(), definition(DEFAULTED)
    assert orjson.loads(stored.shaped(value, old, "v1", 3)) == orjson.loads(value)
    shaped = stored.shaped(value, new, "v1", 3)
    assert orjson.loads(shaped) == {"metadata": {"name": "n"}, "spec": {"mode": "auto"}}
    assert stored.shaped(value, new, "v1", 3) is shaped
    assert stored.decode(value, new, "v1", 3)["spec"] == {"mode": "auto"}


def test_fields_that_a_schema_lost_are_not_seen() -> None:
    value = stored.encode({"metadata": {"name": "n"}, "spec": {"mode": "off", "gone": 1}, "other": 2})
    new = definition(DEFAULTED)
    assert stored.decode(value, new, "v1", 3)["spec"] == {"mode": "off"}
    assert orjson.loads(stored.shaped(value, new, "v1", 3)) == {"metadata": {"name": "n"}, "spec": {"mode": "off"}}


def test_a_value_written_under_the_same_schema_needs_no_work() -> None:
    value = stored.encode({"metadata": {"name": "n"}, "spec": {}})
    one, same = definition(DEFAULTED), definition(DEFAULTED)
    mark = stored.schema_mark(one, one.versions["v1"])
    assert mark == stored.schema_mark(same, same.versions["v1"])
    assert mark != stored.schema_mark(definition(), definition().versions["v1"])
    assert stored.shaped(value, same, "v1", 3, written_under=mark) is value


def test_a_complete_value_is_not_copied() -> None:
    value = stored.encode({"metadata": {"name": "n"}, "spec": {"mode": "off"}})
    assert stored.shaped(value, definition(DEFAULTED), "v1", 3) is value


def test_values_are_converted_from_the_storage_version() -> None:
    def convert(obj: dict[str, Any]) -> dict[str, Any]:
        assert obj["apiVersion"] == "g.example/v1"
        return {**obj, "spec": {"doubled": obj["spec"]["n"] * 2}}

    thing = definition(from_storage=convert)
    value = stored.encode({"metadata": {"name": "n"}, "spec": {"n": 2}})
    assert stored.decode(value, thing, "v1", 1)["spec"] == {"doubled": 4}
    assert orjson.loads(stored.shaped(value, thing, "v1", 1))["spec"] == {"doubled": 4}
