import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.apply import field_set
from tenantry.kube.apply.field_set import paths
from tenantry.kube.apply.managed_fields import compare_objects, record_update, same_but_for_times, strip
from tenantry.kube.apply.typed import compile_schema
from tenantry.kube.schema.structural import Schema
from tests.kube.apply.samples import CONFIG_MAP, LATER, NOW, ROLE, THING, config_map, entry, owners, thing


def recorded(
    obj: dict[str, Any],
    old: dict[str, Any] | None = None,
    manager: str = "m",
    now: str = NOW,
    schema: Schema = CONFIG_MAP,
    **options: Any,
) -> dict[str, Any]:
    out: dict[str, Any] = orjson.loads(orjson.dumps(obj))
    before = copy.deepcopy(old)
    record_update(out, old, manager=manager, api_version=obj["apiVersion"], schema=schema, now=now, **options)
    assert old == before
    return out


def test_create() -> None:
    out = recorded(config_map({"a": "1"}, labels={"l": "1"}, finalizers=["f/x"], uid="u", generateName="x-", generation=1))
    fields = {
        "f:data": {".": {}, "f:a": {}},
        "f:metadata": {
            "f:finalizers": {".": {}, 'v:"f/x"': {}},
            "f:generateName": {},
            "f:labels": {".": {}, "f:l": {}},
        },
    }
    assert out["metadata"]["managedFields"] == [entry("m", fields)]


def test_an_object_with_nothing_to_own_has_no_entry() -> None:
    assert "managedFields" not in recorded(config_map())["metadata"]


def test_empty_and_null_containers_are_owned() -> None:
    out = recorded(thing({"set": [], "free": {}, "nullable": None}), schema=THING)
    assert owners(out) == {("m", "Update"): {"f:spec": {".": {}, "f:free": {}, "f:nullable": {}, "f:set": {}}}}


def test_a_built_in_spec_is_never_new_but_a_custom_one_is() -> None:
    sample = {"apiVersion": "v1", "kind": "Sample", "metadata": {"name": "x"}, "spec": {"size": 1}, "count": 0}
    assert owners(recorded(sample, schema=ROLE)) == {("m", "Update"): {"f:spec": {"f:size": {}}}}
    assert owners(recorded(thing({"replicas": 1}), schema=THING)) == {("m", "Update"): {"f:spec": {".": {}, "f:replicas": {}}}}


def test_lists_and_maps_by_their_kind() -> None:
    spec = {
        "atomicList": ["a"],
        "set": ["a", "b"],
        "map": [{"k": "a", "v": "1"}],
        "ports": [{"port": 80, "name": "x"}],
        "atomicMap": {"a": "1"},
        "any": {"deep": {"x": 1}, "list": [1]},
    }
    assert owners(recorded(thing(spec), schema=THING))[("m", "Update")]["f:spec"] == {
        ".": {},
        "f:any": {".": {}, "f:deep": {".": {}, "f:x": {}}, "f:list": {}},
        "f:atomicList": {},
        "f:atomicMap": {},
        "f:map": {".": {}, 'k:{"k":"a"}': {".": {}, "f:k": {}, "f:v": {}}},
        "f:ports": {".": {}, 'k:{"port":80,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:port": {}}},
        "f:set": {".": {}, 'v:"a"': {}, 'v:"b"': {}},
    }


def test_update_owns_what_it_changed_and_takes_it_from_others() -> None:
    old = recorded(config_map({"a": "1", "b": "1"}), manager="first")
    out = recorded(config_map({"a": "2", "b": "1", "c": "1"}), old, manager="second", now=LATER)
    assert out["metadata"]["managedFields"] == [
        entry("first", {"f:data": {".": {}, "f:b": {}}}),
        entry("second", {"f:data": {"f:a": {}, "f:c": {}}}, time=LATER),
    ]


def test_removed_fields_leave_all_and_give_nothing() -> None:
    old = recorded(config_map({"a": "1", "b": "1"}), manager="first")
    out = recorded(config_map({"b": "1"}), old, manager="second", now=LATER)
    assert out["metadata"]["managedFields"] == [entry("first", {"f:data": {".": {}, "f:b": {}}})]
    assert "managedFields" not in recorded(config_map(), out, manager="second")["metadata"]


def test_an_update_that_changes_nothing_keeps_the_times() -> None:
    old = recorded(config_map({"a": "1"}))
    out = recorded(config_map({"a": "1"}), old, now=LATER)
    assert out == old
    assert same_but_for_times(out, old)


def test_versions_and_subresources_have_entries_of_their_own() -> None:
    old = recorded(thing({"replicas": 1}), schema=THING)
    out = recorded(
        thing({"replicas": 1}, status={"phase": "a"}), old, schema=THING, subresource="status", reset_fields=(("spec",),)
    )
    newer = {**thing({"replicas": 2}, status={"phase": "a"}), "apiVersion": "example.com/v2"}
    out = recorded(newer, out, schema=THING)
    assert out["metadata"]["managedFields"] == [
        entry("m", {"f:spec": {}}, version="example.com/v1"),
        entry("m", {"f:status": {".": {}, "f:phase": {}}}, version="example.com/v1", subresource="status"),
        entry("m", {"f:spec": {"f:replicas": {}}}, version="example.com/v2"),
    ]


def test_unserved_versions_are_dropped_where_the_served_ones_are_known() -> None:
    old = config_map({"a": "1"}, managedFields=[entry("old", {"f:data": {"f:a": {}}}, version="v0")])
    assert owners(recorded(config_map({"a": "1"}), old)) == {("old", "Update"): {"f:data": {"f:a": {}}}}
    assert owners(recorded(config_map({"a": "1"}), old, versions={"v1"})) == {}


def test_reset_fields_are_not_owned() -> None:
    out = recorded(thing({"replicas": 1}, status={"phase": "x"}), schema=THING, reset_fields=(("status",),))
    assert owners(out) == {("m", "Update"): {"f:spec": {".": {}, "f:replicas": {}}}}


@pytest.mark.parametrize("written", [[], [{}]])
def test_managers_can_be_forgotten(written: list[Any]) -> None:
    old = recorded(config_map({"a": "1"}))
    out = recorded(config_map({"a": "1"}, managedFields=written), old)
    assert "managedFields" not in out["metadata"]
    # Who is not tracked stays so until the next apply.
    assert "managedFields" not in recorded(config_map({"a": "2"}), out)["metadata"]


@pytest.mark.parametrize(
    "written",
    [
        None,
        [{"manager": "x", "operation": "Nope"}],
        [{"manager": "x", "operation": "Update", "apiVersion": "v1"}],
        [{"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"q": {}}}],
        "text",
    ],
)
def test_a_missing_or_broken_list_keeps_the_old_one(written: Any) -> None:
    old = recorded(config_map({"a": "1"}))
    assert recorded(config_map({"a": "1"}, managedFields=written), old) == old


def test_a_written_list_counts_except_through_a_subresource() -> None:
    old = recorded(config_map({"a": "1"}))
    written = [entry("written", {"f:data": {"f:a": {}, ".": {}}})]
    assert list(owners(recorded(config_map({"a": "1"}, managedFields=written), old))) == [("written", "Update")]
    assert list(owners(recorded(config_map({"a": "1"}, managedFields=written), old, subresource="status"))) == [("m", "Update")]


def test_old_updates_are_merged() -> None:
    obj = recorded(config_map({"k0": "v"}), manager="many-00", now="2024-01-01T00:00:00Z")
    for i in range(1, 14):
        data = {f"k{n}": "v" for n in range(i + 1)}
        obj = recorded(config_map(data), obj, manager=f"many-{i:02}", now=f"2024-01-01T00:00:{i:02}Z")
    entries = obj["metadata"]["managedFields"]
    assert [e["manager"] for e in entries] == ["ancient-changes", *(f"many-{i:02}" for i in range(5, 14))]
    assert entries[0] == entry(
        "ancient-changes", {"f:data": {".": {}, **{f"f:k{i}": {} for i in range(5)}}}, time="2024-01-01T00:00:04Z"
    )


def test_order_of_entries() -> None:
    written = [
        entry("b", {"f:data": {"f:b": {}}}),
        entry("a", {"f:data": {"f:a": {}}}),
        entry("z", {"f:data": {"f:c": {}}}, time=LATER, operation="Apply"),
        entry("y", {"f:data": {"f:d": {}}}, time="2023-01-01T00:00:00Z"),
    ]
    old = config_map({"a": "1"})
    out = recorded(config_map({"a": "1"}, managedFields=written), old)
    assert [e["manager"] for e in out["metadata"]["managedFields"]] == ["z", "y", "a", "b"]


def test_what_became_one_value_is_owned_as_such() -> None:
    old = thing({"atomicMap": {"a": "1"}}, metadata={"name": "x"})
    old["metadata"]["managedFields"] = [entry("m", {"f:spec": {"f:atomicMap": {".": {}, "f:a": {}}}}, version="example.com/v1")]
    out = recorded(thing({"atomicMap": {"a": "1"}, "replicas": 1}), old, schema=THING, manager="n")
    assert owners(out)[("m", "Update")] == {"f:spec": {"f:atomicMap": {}}}


def test_an_object_that_does_not_fit_loses_its_managers() -> None:
    assert "managedFields" not in recorded(thing({"set": [{}]}), schema=THING)["metadata"]


def test_repeated_items_of_a_set_count_as_one() -> None:
    old = recorded(thing({"set": ["a", "a", "b"]}), schema=THING)
    assert owners(old)[("m", "Update")]["f:spec"]["f:set"] == {".": {}, 'v:"a"': {}, 'v:"b"': {}}
    out = recorded(thing({"set": ["a", "b"]}), old, schema=THING, manager="n")
    assert owners(out)[("n", "Update")]["f:spec"]["f:set"] == {'v:"a"': {}}


DATA = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["m1", "m2", "m3"]), DATA), min_size=1, max_size=5))
def test_every_field_has_one_updater_at_most_and_only_fields_that_are_there(writes: list[tuple[str, dict[str, Any]]]) -> None:
    obj: dict[str, Any] | None = None
    for manager, data in writes:
        obj = recorded(config_map(data or None, labels={"keep": "tracked"}), obj, manager=manager)
    assert obj is not None
    owned = [path for fields in owners(obj).values() for path in paths(fields) if path[0] == "f:data"]
    assert len(owned) == len(set(owned))
    there = {("f:data", f"f:{name}") for name in obj.get("data", {})}
    assert set(owned) == there | ({("f:data",)} if there else set())


_data = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["1", "2"]), max_size=3)
_labels = st.dictionaries(st.sampled_from("lm"), st.sampled_from(["1", "2"]), max_size=2)
_owned = st.sets(st.sampled_from(["f:a", "f:b", "f:c"]), min_size=1)


@given(before=_data, after=_data, labels=_labels, others=_labels, mine=_owned, theirs=st.none() | _owned)
@settings(max_examples=150, deadline=None)
def test_an_update_takes_what_it_changes(
    before: dict[str, str],
    after: dict[str, str],
    labels: dict[str, str],
    others: dict[str, str],
    mine: set[str],
    theirs: set[str] | None,
) -> None:
    """By the rule: what is changed or added is taken from all managers and given to the writer; what is removed has no owner."""
    owned = {"m": dict.fromkeys(sorted(mine), field_set.EMPTY)}
    if theirs is not None:
        owned["other"] = dict.fromkeys(sorted(theirs), field_set.EMPTY)
    entries = [entry(manager, {"f:data": fields}) for manager, fields in owned.items()]
    old = config_map(before, labels=labels, managedFields=entries)
    new = config_map(after, labels=others)
    changes = compare_objects(compile_schema(CONFIG_MAP), old, new)
    taken = field_set.union(changes.modified, changes.added)
    expected = {}
    for manager, fields in owned.items():
        left = field_set.difference(field_set.difference({"f:data": fields}, taken), changes.removed)
        expected[manager, "Update"] = field_set.union(left, strip(taken)) if manager == "m" else left
    found = owners(recorded(new, old, now=LATER))
    assert {key: set(paths(fields)) for key, fields in found.items()} == {
        key: set(paths(fields)) for key, fields in expected.items() if fields
    }
    assert all(fields == field_set.ordered(fields) and str(fields) == str(field_set.ordered(fields)) for fields in found.values())


def test_a_create_with_managers_takes_from_them_what_none_can_own_too() -> None:
    sent = [entry("other", {"f:data": {"f:z": {}, "f:a": {}}, "f:metadata": {"f:name": {}}})]
    out = recorded(config_map({"a": "1"}, managedFields=sent))
    assert owners(out) == {("m", "Update"): {"f:data": {".": {}, "f:a": {}}}, ("other", "Update"): {"f:data": {"f:z": {}}}}


def test_sent_fields_are_kept_in_order() -> None:
    sent = [entry("other", {"f:data": {"f:z": {}, "f:b": {}}})]
    assert list(owners(recorded(config_map(managedFields=sent)))["other", "Update"]["f:data"]) == ["f:b", "f:z"]


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [("data", {"a": "2"}, False), ("immutable", True, False), ("data", {"a": "1"}, True)],
)
def test_what_is_the_same_but_for_times(name: str, value: Any, same: bool) -> None:
    old = recorded(config_map({"a": "1"}))
    assert same_but_for_times(recorded({**config_map({"a": "1"}), name: value}, now=LATER), old) is same
    assert same_but_for_times(old, recorded({**config_map({"a": "1"}), name: value}, now=LATER)) is same
    assert not same_but_for_times({key: below for key, below in old.items() if key != "data"}, old)
