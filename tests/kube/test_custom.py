"""Types made from definitions: versions, names, strategy, columns, tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tenantry.kube.api_set import ApiSet
from tenantry.kube.codec.partial import partial
from tenantry.kube.codec.table import table
from tenantry.kube.custom import crd_content, definition_from_api_resource_schema, definition_from_crd
from tenantry.kube.discovery import resource_list
from tenantry.kube.jsonpath import compile_path, field_names
from tenantry.kube.objects import Object
from tenantry.kube.quantity import canonical, parse
from tenantry.kube.status import StatusError
from tenantry.kube.version_order import sort_versions
from tests.kube.definitions import KEEP, I, S, crd, created, define, obj_schema, version

NOW = datetime(2024, 1, 1, 0, 1, 40, tzinfo=UTC)


def test_versions_and_names() -> None:
    schema = obj_schema(spec=obj_schema(a=S))
    made = define(
        version(schema, "v1beta1", storage=False, deprecated=True),
        version(
            schema, "v1", subresources={"status": {}, "scale": {"specReplicasPath": ".spec.r", "statusReplicasPath": ".status.r"}}
        ),
        version(schema, "v2", served=False, storage=False),
        version(schema, "v1alpha1", storage=False, deprecated=True, deprecationWarning="gone soon"),
        names={"shortNames": ["th"], "categories": ["all"]},
    )
    assert (made.plural, made.singular, made.kind, made.list_kind) == ("things", "thing", "Thing", "ThingList")
    assert (made.storage_version, made.short_names, made.categories, made.custom) == ("v1", ("th",), ("all",), True)
    assert list(made.versions) == ["v2", "v1", "v1beta1", "v1alpha1"]
    assert made.versions["v1"].subresources == {"status", "scale"}
    assert made.versions["v1"].scale is not None and made.versions["v1"].scale.spec_replicas == ".spec.r"
    assert made.versions["v1beta1"].deprecation_warning == "g.example/v1beta1 Thing is deprecated; use g.example/v1 Thing"
    assert made.versions["v1alpha1"].deprecation_warning == "gone soon"
    assert set(made.versions["v1"].schema.properties) == {"apiVersion", "kind", "metadata", "spec"}


def test_selectable_fields() -> None:
    made = define(
        version(obj_schema(spec=obj_schema(a=S, n=I)), selectableFields=[{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.n"}])
    )
    selectable = made.versions["v1"].selectable
    assert {name: get({"spec": {"a": "x", "n": 5}}) for name, get in selectable.items()} == {"spec.a": "x", "spec.n": "5"}
    assert selectable["spec.a"]({}) == ""


def test_the_content_of_definitions_that_say_the_same() -> None:
    body = created(crd(version(obj_schema(spec=obj_schema(a=S, n=I)))))
    content = crd_content(body)
    other = created(crd(version(obj_schema(spec=obj_schema(n=I, a=S)))))
    other["metadata"].update(
        uid="other", resourceVersion="7", generation=7, labels={"a": "b"}, deletionTimestamp="2024-01-01T00:00:00Z"
    )
    other["status"] = {"storedVersions": ["v1", "v0"], "conditions": [{"type": "Terminating", "status": "True"}]}
    assert crd_content(other) == content
    # Whoever makes it, the definition is of the content: its fields have one order.
    spec = definition_from_crd(body).versions["v1"].schema.properties["spec"]
    assert list(definition_from_crd(other).versions["v1"].schema.properties["spec"].properties) == list(spec.properties)


@pytest.mark.parametrize(
    "change",
    [
        lambda crd: crd["metadata"].update(name="others.g.example"),
        lambda crd: crd["spec"].update(scope="Cluster"),
        lambda crd: crd["spec"].update(conversion={"strategy": "Webhook", "webhook": {"clientConfig": {"url": "https://a"}}}),
        lambda crd: crd["spec"]["names"].update(shortNames=["t"]),
        lambda crd: crd["spec"]["versions"][0].update(served=False),
        lambda crd: crd["spec"]["versions"][0].update(deprecated=True),
        lambda crd: crd["spec"]["versions"][0].update(subresources={"status": {}}),
        lambda crd: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].update(description="other"),
        lambda crd: crd.update(status={"acceptedNames": {**crd["spec"]["names"], "listKind": "Many"}}),
    ],
)
def test_the_content_of_definitions_that_say_something_else(change: Callable[[Any], None]) -> None:
    body, other = created(crd(version(obj_schema()))), created(crd(version(obj_schema())))
    change(other)
    assert crd_content(other) != crd_content(body)


def test_a_terminating_definition() -> None:
    made = replace(define(version(obj_schema())), terminating=True)
    shown = resource_list(ApiSet([made]), made.group, "v1")
    assert shown is not None
    # Objects may still be changed, so that their finalizers can be done; discovery shows what is wanted.
    assert shown["resources"][0]["verbs"] == ["delete", "deletecollection", "get", "list", "watch"]
    assert "patch" in made.verbs


def test_status_belongs_to_its_endpoint() -> None:
    strategy = define(version(obj_schema(spec=KEEP, status=KEEP), subresources={"status": {}})).strategy
    fresh: dict[str, Any] = {"apiVersion": "g.example/v1", "spec": 1, "status": 1}
    strategy.prepare_for_create(fresh)
    assert "status" not in fresh
    old = {"apiVersion": "g.example/v1", "metadata": {"name": "n", "labels": {"a": "b"}}, "spec": 1, "status": 1}
    main = {"apiVersion": "g.example/v1", "metadata": {"name": "n"}, "spec": 2, "status": 2}
    strategy.prepare_for_update(main, old, "")
    assert (main["spec"], main["status"]) == (2, 1)
    status = {"apiVersion": "g.example/v1", "metadata": {"name": "n", "resourceVersion": "5"}, "spec": 2, "status": 2}
    strategy.prepare_for_update(status, old, "status")
    assert (status["spec"], status["status"]) == (1, 2)
    assert status["metadata"] == {"name": "n", "labels": {"a": "b"}, "resourceVersion": "5"}
    assert not strategy.unconditional_update and strategy.tracks_generation


def test_a_new_object_has_the_default_of_its_status() -> None:
    """Its creator cannot set one. Without a default of the status itself, those of its fields wait for a status."""
    fields = {"phase": {"type": "string", "default": "New"}}
    for default, made in (({}, {"phase": "New"}), ({"phase": "Old"}, {"phase": "Old"}), (None, None)):
        status: Object = {"type": "object", "properties": fields}
        if default is not None:
            status["default"] = default
        definition = definition_from_crd(
            {
                "metadata": {"name": "things.g.example"},
                "spec": {
                    "group": "g.example",
                    "names": {"plural": "things", "kind": "Thing"},
                    "scope": "Namespaced",
                    "versions": [
                        {
                            "name": "v1",
                            "served": True,
                            "storage": True,
                            "subresources": {"status": {}},
                            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"status": status}}},
                        }
                    ],
                },
            }
        )
        obj: Object = {"apiVersion": "g.example/v1", "kind": "Thing", "metadata": {}, "status": {"phase": "Mine"}}
        definition.strategy.prepare_for_create(obj)
        assert obj.get("status") == made
        other: Object = {"apiVersion": "g.example/v1", "kind": "Thing", "metadata": {}}
        definition.strategy.prepare_for_create(other)
        assert other.get("status") == made and (made is None or other["status"] is not obj["status"])


def test_without_the_subresource_status_is_a_field() -> None:
    strategy = define(version(obj_schema(status=KEEP))).strategy
    obj: dict[str, Any] = {"apiVersion": "g.example/v1", "status": 1}
    strategy.prepare_for_create(obj)
    assert obj["status"] == 1


def test_api_resource_schema() -> None:
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    one = {"name": "v1", "served": True, "storage": True, "schema": obj_schema(spec=obj_schema(a=S))}
    spec = {"group": "g.example", "names": names, "scope": "Cluster", "versions": [one], "nameValidation": "PathSegmentName"}
    made = definition_from_api_resource_schema(
        {"metadata": {"name": "r.things.g.example", "uid": "u"}, "spec": spec}, identity="abc"
    )
    assert (made.storage_key, made.namespaced, made.uid) == ("g.example/things:abc", False, "u")
    assert made.strategy.name_errors("With:Colon", prefix=False) == []
    assert made.strategy.name_errors("a/b", prefix=False) != []


COLUMNS = [
    {"name": "Str", "type": "string", "jsonPath": ".spec.s"},
    {"name": "Int", "type": "integer", "jsonPath": ".spec.i", "priority": 1, "description": "an int"},
    {"name": "Bool", "type": "boolean", "jsonPath": ".spec.b"},
    {"name": "List", "type": "string", "jsonPath": ".spec.l"},
    {"name": "Each", "type": "string", "jsonPath": ".spec.l[*]"},
    {"name": "Filter", "type": "string", "jsonPath": '.spec.c[?(@.type=="Ready")].status'},
    {"name": "When", "type": "date", "jsonPath": ".spec.d"},
    {"name": "Label", "type": "string", "jsonPath": r".metadata.labels.x\.y/z"},
    {"name": "Broken", "type": "string", "jsonPath": ".spec["},
    {"name": "After", "type": "string", "jsonPath": ".spec.s"},
]
FULL = {
    "metadata": {"name": "full", "labels": {"x.y/z": "lab"}},
    "spec": {
        "s": "text",
        "i": 5,
        "b": True,
        "l": [1, 2],
        "c": [{"type": "Ready", "status": "True"}],
        "d": "2024-01-01T00:00:00Z",
    },
}
ODD = {"metadata": {"name": "odd"}, "spec": {"s": 5, "i": "five", "b": "no", "l": {}, "d": "yesterday"}}


def test_printer_columns() -> None:
    made = define(version({"type": "object"} | KEEP, additionalPrinterColumns=COLUMNS))
    shown = table(
        made, "v1", [FULL, ODD, {"metadata": {"name": "e"}}], include_object="None", list_metadata=None, columns=True, now=NOW
    )
    assert [row["cells"] for row in shown["rows"]] == [
        # The column whose path cannot be parsed is none, and neither is what follows it.
        ["full", "text", 5, True, "[1,2]", "1", "True", "100s", "lab"],
        ["odd", "5", None, None, "{}", None, None, "<invalid>", None],
        ["e", *[None] * 8],
    ]
    assert [c["name"] for c in shown["columnDefinitions"]][:2] == ["Name", "Str"]
    assert shown["columnDefinitions"][1]["description"] == "Custom resource definition column (in JSONPath format): .spec.s"
    assert (shown["columnDefinitions"][2]["priority"], shown["columnDefinitions"][2]["description"]) == (1, "an int")


def test_tables() -> None:
    made = define(version({"type": "object"} | KEEP))
    obj = {"apiVersion": "g.example/v1", "metadata": {"name": "n", "creationTimestamp": "2024-01-01T00:00:00Z"}, "spec": 1}
    shown = table(made, "v1", [obj], include_object="", list_metadata={"resourceVersion": "7"}, columns=True, now=NOW)
    assert (shown["kind"], shown["apiVersion"], shown["metadata"]) == ("Table", "meta.k8s.io/v1", {"resourceVersion": "7"})
    assert shown["rows"] == [{"cells": ["n", "100s"], "object": partial(obj)}]
    whole = table(made, "v1", [obj], include_object="Object", list_metadata=None, columns=False, now=NOW)
    assert (whole["columnDefinitions"], whole["rows"][0]["object"]) == (None, obj)
    with pytest.raises(StatusError, match="must be 'Metadata', 'Object', 'None', or empty"):
        table(made, "v1", [], include_object="Frob", list_metadata=None, columns=True, now=NOW)


DOCUMENT = {"a": {"b": [{"n": 1, "t": "x"}, {"n": 2, "t": "y"}]}, "k.l": 1, "d": {"n": 9}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b[0].n", [1]),
        (".a.b[-1].n", [2]),
        (".a.b[*].n", [1, 2]),
        (".a.b[0:1].t", ["x"]),
        ("{.a.b[?(@.n>1)].t}", ["y"]),
        (".a.b[?(@.t)].n", [1, 2]),
        (r".k\.l", [1]),
        # Dots in quotes part names for kubectl and kube-apiserver.
        ("['k.l']", []),
        (r"['k\.l']", [1]),
        ("['k\\.l','d'].n", [9]),
        (".a.b[0]['t','n']", ["x", 1]),
        (".d..", [{"n": 9}]),
        ("..n", [1, 2, 9]),
        (".d.*", [9]),
        (".none.x", []),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    assert compile_path(path)(DOCUMENT) == found


@pytest.mark.parametrize(
    "path", [".a &", ".spec[", ".a....b", ".a[x]", '.l[?(@.a=="b" && @.c=="d")].n', '.a["b"]', ".a 'b", ".a[-]"]
)
def test_broken_json_paths(path: str) -> None:
    with pytest.raises(ValueError):
        compile_path(path)


def test_field_names() -> None:
    assert field_names(".a['b.c'].d") == ("a", "b.c", "d")
    with pytest.raises(ValueError):
        field_names(".a[0]")


def test_version_order() -> None:
    assert sort_versions(["foo", "v1alpha1", "v10", "v1", "v2beta1", "v1beta2", "v2", "v11alpha2"]) == [
        *["v10", "v2", "v1", "v2beta1", "v1beta2", "v11alpha2", "v1alpha1", "foo"]
    ]


@pytest.mark.parametrize(
    ("text", "shortest"),
    [
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("1500", "1500"),
        ("1.5Gi", "1536Mi"),
        ("0.1", "100m"),
        ("1e3", "1e3"),
        ("0", "0"),
        ("-2000", "-2k"),
    ],
)
def test_quantities(text: str, shortest: str) -> None:
    assert canonical(text) == shortest
    assert parse(canonical(text)) == parse(text)


@pytest.mark.parametrize("text", ["", "x", "1X", "1 Gi", "Pi", "1e", "--1"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)
