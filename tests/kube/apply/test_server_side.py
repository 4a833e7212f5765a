import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.kube.apply.last_applied import ANNOTATION, upgradable_fields
from tenantry.kube.apply.managed_fields import record_update
from tenantry.kube.apply.server_side import apply
from tenantry.kube.apply.typed import compile_schema
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import StatusError
from tenantry.kube.types import BUILTINS
from tenantry.tenancy.types.workload_type import WORKLOAD_TYPES
from tests.kube.apply.samples import CONFIG_MAP, LATER, NOW, THING, config_map, entry, owners, thing


def applied(
    live: dict[str, Any] | None, config: dict[str, Any], manager: str = "m1", force: bool = False, now: str = NOW, **options: Any
) -> dict[str, Any]:
    custom = config.get("kind") == "Thing"
    schema: Schema = options.pop("schema", THING if custom else CONFIG_MAP)
    version = options.pop("version", "example.com/v1" if custom else "v1")
    kind = options.pop("kind", "Thing" if custom else "ConfigMap")
    inputs = copy.deepcopy((live, config))
    out = apply(live, config, manager=manager, force=force, api_version=version, schema=schema, now=now, kind=kind, **options)
    assert (live, config) == inputs
    return out


def updated(live: dict[str, Any], config: dict[str, Any], manager: str) -> dict[str, Any]:
    out: dict[str, Any] = orjson.loads(orjson.dumps(config))
    schema = THING if config["kind"] == "Thing" else CONFIG_MAP
    record_update(out, live, manager=manager, api_version=config["apiVersion"], schema=schema, now=LATER)
    return out


def refusal(live: dict[str, Any] | None, config: dict[str, Any], manager: str = "m2", **options: Any) -> StatusError:
    with pytest.raises(StatusError) as refused:
        applied(live, config, manager, **options)
    return refused.value


def test_create_owns_leaves_only() -> None:
    out = applied(None, config_map({"a": "1"}, labels={"l": "1"}, finalizers=["f/x"]))
    fields = {"f:data": {"f:a": {}}, "f:metadata": {"f:finalizers": {'v:"f/x"': {}}, "f:labels": {"f:l": {}}}}
    assert out["metadata"].pop("managedFields") == [entry("m1", fields, operation="Apply")]
    assert out == config_map({"a": "1"}, labels={"l": "1"}, finalizers=["f/x"])


def test_applying_the_same_again_changes_nothing() -> None:
    config = config_map({"a": "1"}, labels={"l": "1"})
    once = applied(None, config)
    assert applied(once, config, now=LATER) == once


def test_a_manager_changes_and_drops_its_own_fields() -> None:
    live = applied(None, config_map({"a": "1", "b": "1"}))
    live = applied(live, config_map({"a": "2"}), now=LATER)
    assert live["data"] == {"a": "2"}
    assert live["metadata"]["managedFields"] == [entry("m1", {"f:data": {"f:a": {}}}, operation="Apply", time=LATER)]
    live = applied(live, config_map())
    assert live == config_map()


def test_the_same_value_is_shared_and_lives_until_the_last_owner_drops_it() -> None:
    live = applied(None, config_map({"a": "1"}))
    live = applied(live, config_map({"a": "1"}), "m2", now=LATER)
    # As upstream: a write that changes nothing leaves no time.
    assert live["metadata"]["managedFields"][0] == {
        k: v for k, v in entry("m2", {"f:data": {"f:a": {}}}).items() if k != "time"
    } | {"operation": "Apply"}
    live = applied(live, config_map(), "m1")
    assert live["data"] == {"a": "1"}
    live = applied(live, config_map(), "m2")
    assert "data" not in live


def test_an_empty_map_is_owned() -> None:
    live = applied(None, config_map({}))
    assert live["data"] == {}
    assert owners(live) == {("m1", "Apply"): {"f:data": {}}}
    del live["data"]
    error = refusal(live, config_map({"n": None}))
    assert error.message == 'Apply failed with 1 conflict: conflict with "m1": .data'


def test_conflict_with_one_field() -> None:
    error = refusal(applied(None, config_map({"a": "1", "b": "1"})), config_map({"a": "2"}))
    assert (error.code, error.reason) == (409, "Conflict")
    assert error.message == 'Apply failed with 1 conflict: conflict with "m1": .data.a'
    assert error.details == {
        "causes": [{"reason": "FieldManagerConflict", "message": 'conflict with "m1"', "field": ".data.a"}],
    }


def test_conflicts_with_several_managers() -> None:
    live = applied(None, config_map({"a": "1", "b": "1"}))
    live = applied(live, config_map({"a": "1"}), "m3")
    live = updated(live, {**live, "data": {"a": "1", "b": "1", "c": "1"}}, "up")
    error = refusal(live, config_map({"a": "2", "b": "2", "c": "2"}))
    assert error.message == (
        'Apply failed with 4 conflicts: conflicts with "m1":\n- .data.a\n- .data.b\n'
        'conflicts with "m3":\n- .data.a\nconflicts with "up" using v1:\n- .data.c'
    )
    assert [cause["field"] for cause in (error.details or {})["causes"]] == [".data.a", ".data.b", ".data.a", ".data.c"]


def test_a_conflict_names_the_subresource() -> None:
    live = applied(None, thing({"replicas": 1}))
    live = applied(live, thing(status={"phase": "a"}), "controller", subresource="status", reset_fields=(("spec",),))
    error = refusal(live, thing(status={"phase": "b"}), subresource="status")
    assert error.message == 'Apply failed with 1 conflict: conflict with "controller" with subresource "status": .status.phase'


def test_force_moves_ownership() -> None:
    live = applied(None, config_map({"a": "1", "b": "1"}))
    live = applied(live, config_map({"a": "2"}), "m2", force=True)
    assert live["data"] == {"a": "2", "b": "1"}
    assert owners(live) == {("m1", "Apply"): {"f:data": {"f:b": {}}}, ("m2", "Apply"): {"f:data": {"f:a": {}}}}


def test_a_manager_conflicts_with_itself_as_an_updater() -> None:
    live = applied(None, config_map({"a": "1"}), "same")
    live = updated(live, config_map({"a": "2"}), "same")
    error = refusal(live, config_map({"a": "1"}), "same")
    assert error.message == 'Apply failed with 1 conflict: conflict with "same" using v1: .data.a'


def test_a_field_that_an_update_removed_comes_back_without_conflict() -> None:
    live = applied(None, config_map({"a": "1", "b": "1"}))
    live = updated(live, config_map({"a": "1"}), "updater")
    assert owners(live) == {("m1", "Apply"): {"f:data": {"f:a": {}}}}
    assert applied(live, config_map({"a": "1", "b": "1"}))["data"] == {"a": "1", "b": "1"}


def test_before_first_apply() -> None:
    live = config_map({"a": "1", "b": "2"}, annotations={"n": "1"}, uid="u", resourceVersion="1")
    out = applied(live, config_map({"c": "3"}), "fresh")
    assert out["data"] == {"a": "1", "b": "2", "c": "3"}
    assert owners(out) == {
        ("fresh", "Apply"): {"f:data": {"f:c": {}}},
        ("before-first-apply", "Update"): {
            "f:data": {".": {}, "f:a": {}, "f:b": {}},
            "f:metadata": {"f:annotations": {".": {}, "f:n": {}}},
        },
    }
    error = refusal(live, config_map({"a": "9"}))
    assert error.message == 'Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.a'


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ({"set": ["a", "b"]}, {"set": ["b", "c"]}, {"set": ["a", "b", "c"]}),
        (
            {"map": [{"k": "a", "v": "1"}, {"k": "b"}]},
            {"map": [{"k": "b", "n": 1}, {"k": "c"}]},
            {"map": [{"k": "a", "v": "1"}, {"k": "b", "n": 1}, {"k": "c"}]},
        ),
        (
            {"ports": [{"port": 80, "name": "x"}]},
            {"ports": [{"port": 80, "protocol": "UDP", "name": "y"}]},
            {"ports": [{"port": 80, "name": "x"}, {"port": 80, "protocol": "UDP", "name": "y"}]},
        ),
        ({"granular": {"a": "1"}}, {"granular": {"b": "2"}}, {"granular": {"a": "1", "b": "2"}}),
        ({"any": {"deep": {"x": 1}}}, {"any": {"deep": {"y": 2}}}, {"any": {"deep": {"x": 1, "y": 2}}}),
    ],
)
def test_parts_of_two_managers_come_together_and_apart(
    first: dict[str, Any], second: dict[str, Any], both: dict[str, Any]
) -> None:
    live = applied(applied(None, thing(first)), thing(second), "m2")
    assert live["spec"] == both
    assert applied(live, thing(), "m2")["spec"] == first
    field = next(iter(second))
    left = applied(live, thing(), "m1")["spec"][field]
    assert sorted(map(str, left)) == sorted(map(str, second[field]))


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        ({"atomicList": ["a"]}, {"atomicList": ["b"]}, "atomicList"),
        ({"atomicMap": {"a": "1"}}, {"atomicMap": {"b": "1"}}, "atomicMap"),
        ({"map": [{"k": "a", "v": "1"}]}, {"map": [{"k": "a", "v": "2"}]}, 'map[k="a"].v'),
        (
            {"ports": [{"port": 1, "name": "x"}]},
            {"ports": [{"port": 1, "protocol": "TCP", "name": "z"}]},
            'ports[port=1,protocol="TCP"].name',
        ),
        ({"nullable": None}, {"nullable": "v"}, "nullable"),
        ({"any": {"list": [1]}}, {"any": {"list": [2]}}, "any.list"),
        ({"replicas": 1}, {"replicas": 2}, "replicas"),
    ],
)
def test_what_is_one_value_conflicts(first: dict[str, Any], second: dict[str, Any], field: str) -> None:
    live = applied(None, thing(first))
    assert refusal(live, thing(second)).message == f'Apply failed with 1 conflict: conflict with "m1": .spec.{field}'
    forced = applied(live, thing(second), "m2", force=True)
    assert applied(live, thing(first), "m1")["spec"] == first
    assert ("m2", "Apply") in owners(forced)


def test_the_order_of_items_is_the_appliers_where_it_says_so() -> None:
    live = applied(None, thing({"set": ["a", "b", "c", "d"]}))
    assert applied(live, thing({"set": ["d", "b"]}), "m2")["spec"]["set"] == ["a", "c", "d", "b"]


def test_what_was_granular_once_is_owned_as_one_value() -> None:
    live = thing({"atomicMap": {"a": "1"}})
    live["metadata"]["managedFields"] = [
        entry("m1", {"f:spec": {"f:atomicMap": {"f:a": {}}}}, version="example.com/v1", operation="Apply"),
    ]
    error = refusal(live, thing({"atomicMap": {"b": "1"}}))
    assert error.message == 'Apply failed with 1 conflict: conflict with "m1": .spec.atomicMap'


def test_reset_fields_are_merged_but_not_owned() -> None:
    out = applied(None, thing({"replicas": 1}, status={"phase": "x"}), reset_fields=(("status",),))
    assert owners(out) == {("m1", "Apply"): {"f:spec": {"f:replicas": {}}}}


def test_unserved_versions_are_dropped() -> None:
    live = config_map({"a": "1"}, managedFields=[entry("old", {"f:data": {"f:a": {}}}, version="v0")])
    out = applied(live, config_map({"a": "2"}), versions={"v1"})
    assert owners(out) == {("m1", "Apply"): {"f:data": {"f:a": {}}}}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"apiVersion": "v1", "metadata": {"name": "x"}}, "invalid object type: /v1, Kind="),
        ({"kind": "ConfigMap", "metadata": {"name": "x"}}, "invalid object type: /, Kind=ConfigMap"),
        ({}, "invalid object type: /, Kind="),
        (config_map() | {"kind": "Secret"}, "invalid object type: /v1, Kind=Secret"),
        (config_map() | {"apiVersion": "apps/v1"}, "invalid object type: apps/v1, Kind=ConfigMap"),
        (config_map(managedFields=[]), "metadata.managedFields must be nil"),
        (config_map(managedFields=[{"manager": "x"}]), "metadata.managedFields must be nil"),
    ],
)
def test_bad_requests(config: dict[str, Any], message: str) -> None:
    error = refusal(None, config)
    assert (error.code, error.message) == (400, message)


def test_null_managed_fields_are_none() -> None:
    assert owners(applied(None, config_map({"a": "1"}, managedFields=None)))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (config_map({"a": 1}), ".data.a: expected string, got &value.valueUnstructured{Value:1}"),
        (config_map({"a": []}), ".data.a: expected string, got &value.valueUnstructured{Value:[]interface {}{}}"),
        (config_map([]), ".data: expected map, got &{[]}"),
        (config_map() | {"dta": {}}, ".dta: field not declared in schema"),
        (config_map(zzz="1"), ".metadata.zzz: field not declared in schema"),
        (thing({"set": ["a", "a"]}), '.spec.set: duplicate entries for key [="a"]'),
        (thing({"map": [{"k": "a"}, {"k": "a"}]}), '.spec.map: duplicate entries for key [k="a"]'),
        (
            thing({"map": [{"v": "1"}]}),
            '.spec.map: element 0: associative list with keys has an element that omits all key fields ["k"]'
            " (and doesn't have default values for any key fields)",
        ),
        (thing({"map": {"k": "a"}}), ".spec.map: expected list, got &{map[k:a]}"),
        (thing({"set": [{}]}), ".spec.set: element 0: associative list without keys has an element that's a map type"),
        (thing({"set": [None]}), ".spec.set: element 0: associative list without keys has an element that's an explicit null"),
        (thing({"zzz": 1}), ".spec.zzz: field not declared in schema"),
        (thing({"map": [{"k": "a", "zzz": 1}]}), '.spec.map[k="a"].zzz: field not declared in schema'),
        (
            thing({"map": [{"k": "a", "y": 1, "z": 2}], "zzz": 1}),
            "errors:\n"
            '  .spec.map[k="a"].y: field not declared in schema\n'
            '  .spec.map[k="a"].z: field not declared in schema\n'
            "  .spec.zzz: field not declared in schema",
        ),
        (thing({"replicas": "1"}), ".spec.replicas: expected numeric (int or float), got string"),
        (thing({"flag": 1}), ".spec.flag: expected boolean, got &{1}"),
        (
            thing({"ports": [{"port": 1}, {"port": 1, "protocol": "TCP"}]}),
            '.spec.ports: duplicate entries for key [port=1,protocol="TCP"]',
        ),
        (
            thing({"replicas": "1", "set": [[]]}),
            "errors:\n  .spec.replicas: expected numeric (int or float), got string\n"
            "  .spec.set: element 0: not supported: associative list with lists as elements",
        ),
    ],
)
def test_a_configuration_that_does_not_fit(config: dict[str, Any], message: str) -> None:
    error = refusal(None, config)
    group = "" if config["kind"] == "ConfigMap" else "example.com"
    kind = f"{group}/v1, Kind={config['kind']}"
    assert (error.code, error.message) == (500, f"failed to create typed patch object (/x; {kind}): {message}")


def test_kubectl_takes_over_what_it_applied_from_the_client_side() -> None:
    config = config_map({"a": "1", "b": "1"})
    live = config_map({"a": "1", "b": "1"}, annotations={ANNOTATION: orjson.dumps(config).decode()})
    record_update(live, None, manager="kubectl-client-side-apply", api_version="v1", schema=CONFIG_MAP, now=NOW)
    changed = config_map({"a": "2", "b": "1"})
    assert refusal(live, changed, "other").code == 409
    out = applied(live, changed, "kubectl")
    assert out["data"] == {"a": "2", "b": "1"}
    assert orjson.loads(out["metadata"]["annotations"][ANNOTATION])["data"] == {"a": "2", "b": "1"}
    live = updated(live, {**live, "data": {"a": "other", "b": "1"}}, "editor")
    error = refusal(live, changed, "kubectl")
    assert error.message == 'Apply failed with 1 conflict: conflict with "editor" using v1: .data.a'


SPECS = st.fixed_dictionaries(
    {},
    optional={
        "set": st.lists(st.sampled_from("abc"), unique=True, min_size=1, max_size=3),
        "map": st.lists(st.sampled_from("abc"), unique=True, min_size=1, max_size=3).map(lambda ks: [{"k": k} for k in ks]),
        "free": st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"), min_size=1, max_size=2),
        "replicas": st.integers(0, 3),
        "atomicList": st.lists(st.sampled_from("ab"), min_size=1, max_size=2),
    },
)


@settings(max_examples=120, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["m1", "m2"]), SPECS), min_size=1, max_size=4))
def test_apply_is_idempotent_and_says_what_it_was_told(steps: list[tuple[str, dict[str, Any]]]) -> None:
    live: dict[str, Any] | None = None
    for manager, spec in steps:
        config = thing(spec)
        live = applied(live, config, manager, force=True)
        assert applied(live, config, manager, now=LATER) == live
        for field, value in spec.items():
            have = live["spec"][field]
            if isinstance(value, dict):
                assert value.items() <= have.items()
            elif field in ("set", "map"):
                assert [item for item in have if item in value] == value
            else:
                assert have == value


@settings(max_examples=120, deadline=None)
@given(SPECS, SPECS)
def test_who_leaves_takes_only_what_is_his(first: dict[str, Any], second: dict[str, Any]) -> None:
    live = applied(None, thing(first))
    both = applied(live, thing(second), "m2", force=True)
    back = applied(both, thing(), "m2")
    untouched = {name: value for name, value in first.items() if name not in second}
    spec = back.get("spec") or {}
    assert untouched.items() <= spec.items()
    assert ("m2", "Apply") not in owners(back)
    assert not set(spec) - set(first)


@settings(max_examples=80, deadline=None)
@given(SPECS, SPECS)
def test_two_appliers_with_different_fields_do_not_conflict_and_commute(first: dict[str, Any], second: dict[str, Any]) -> None:
    second = {name: value for name, value in second.items() if name not in first}
    one = applied(applied(None, thing(first)), thing(second), "m2")
    other = applied(applied(None, thing(second), "m2"), thing(first), "m1")
    assert one["spec"] == other["spec"]
    assert owners(one) == owners(other)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"apiVersion": {}}, "invalid object type: /, Kind=ConfigMap"),
        ({"apiVersion": 5}, "invalid object type: /, Kind=ConfigMap"),
        ({"kind": ["ConfigMap"]}, "invalid object type: /v1, Kind="),
        ({"metadata": "x"}, "failed to create typed patch object (/; /v1, Kind=ConfigMap): .metadata: expected map, got &{x}"),
        ({"metadata": {"name": True}}, None),
        ({"metadata": [1]}, None),
    ],
)
def test_what_has_the_wrong_type_is_as_if_it_was_not_there(wrong: dict[str, Any], text: str | None) -> None:
    error = refusal(None, config_map() | wrong, kind="ConfigMap")
    assert error.code in (400, 500)
    assert text is None or error.message == text


def test_a_live_object_that_no_schema_understands() -> None:
    error = refusal(thing({"map": [{"v": "a"}]}), thing())
    assert error.code == 500
    text = "failed to create typed live object (/x; example.com/v1, Kind=Thing): associative list with keys"
    assert error.message.startswith(text)


def test_metadata_may_be_null() -> None:
    out = applied(None, config_map({"a": "1"}) | {"metadata": None})
    assert list(out["metadata"]) == ["managedFields"]


def test_the_last_client_side_apply_is_not_read_where_it_nests_too_deeply() -> None:
    for deep in ("[" * 1000 + "]" * 1000, '{"a":' * 1000 + "1" + "}" * 1000):
        text = f'{{"apiVersion":"v1","spec":{{"any":{deep}}}}}'
        live = {"apiVersion": "v1", "metadata": {"annotations": {ANNOTATION: text}}, "spec": {"any": {"a": 1}}}
        assert upgradable_fields(live, compile_schema(THING), "v1") == {}


def test_a_key_that_a_built_in_type_always_writes_is_empty_where_it_is_missing() -> None:
    """As kube-apiserver 1.37.2, whose validation refuses the empty name later. A reference to an object has a name that may be
    missing."""
    definitions = {each.kind: each for each in (*BUILTINS, *(each.define(identity="x", uid="x") for each in WORKLOAD_TYPES))}

    def made(kind: str, more: dict[str, Any]) -> dict[str, Any]:
        config = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **more}
        shape = definitions[kind].versions["v1"]
        return apply(None, config, manager="m", force=False, api_version="v1", kind=kind, schema=shape.schema, now=NOW)

    pod = made("Pod", {"spec": {"containers": [{"image": "x"}], "volumes": [{"emptyDir": {}}]}})
    assert pod["spec"] == {"containers": [{"image": "x"}], "volumes": [{"emptyDir": {}}]}
    with pytest.raises(StatusError, match=r'containers: duplicate entries for key \[name=""\]'):
        made("Pod", {"spec": {"containers": [{"image": "x"}, {"image": "y"}]}})
    with pytest.raises(StatusError, match="omits all key fields"):
        made("ServiceAccount", {"secrets": [{"namespace": "x"}]})
