# ruff: noqa: E501 (the texts are one line on the wire)
"""Which definitions are accepted, with upstream's paths and texts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from tenantry.kube.crd_naming import TakenNames, named_status
from tenantry.kube.crd_validation import crd_warnings
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.schema.prune import prune
from tenantry.kube.types.custom_resource_definition import DEFINITION, SCHEMA
from tests.kube.definitions import KEEP, I, S, crd, created, obj_schema, version

LIST = {"type": "array", "items": S}
BASE = "spec.validation.openAPIV3Schema"
X = f"{BASE}.properties[spec].properties[x]"


def errors_of(definition: dict[str, Any], old: dict[str, Any] | None = None) -> list[tuple[str, str, str]]:
    strategy = DEFINITION.strategy
    strategy.default(definition)
    if old is None:
        strategy.prepare_for_create(definition)
    else:
        strategy.prepare_for_update(definition, old, "")
    return [(e.kind, e.field, e.text) for e in strategy.validate(definition, old, "")]


def naming_conditions(definition: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    taken = TakenNames(definition)
    for other in others:
        taken.add(other)
    return named_status(definition, taken)


def in_spec(**properties: Any) -> dict[str, Any]:
    return obj_schema(spec=obj_schema(**properties))


def keyed(*keys: str, items: Any) -> dict[str, Any]:
    return in_spec(x={"type": "array", "items": items, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)})


SCHEMAS: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    (obj_schema(a=S), []),
    (S, [("Invalid", f"{BASE}.type", 'Invalid value: "string": must be object at the root')]),
    ({"properties": {"a": S}}, [("Required", f"{BASE}.type", "Required value: must not be empty at the root")]),
    (
        in_spec(x={"description": "d"}),
        [("Required", f"{X}.type", "Required value: must not be empty for specified object fields")],
    ),
    (in_spec(x=KEEP), []),
    (
        in_spec(x={"type": "frob"}),
        [
            (
                "NotSupported",
                f"{X}.type",
                'Unsupported value: "frob": supported values: "array", "boolean", "integer", "number", "object", "string"',
            )
        ],
    ),
    (in_spec(x={"type": "array"}), [("Required", f"{X}.items", "Required value: must be specified")]),
    (in_spec(x={"$ref": "#/x"}), [("Forbidden", f"{X}.$ref", "Forbidden: $ref is not supported")]),
    (
        in_spec(x=LIST | {"uniqueItems": True}),
        [
            (
                "Forbidden",
                f"{X}.uniqueItems",
                "Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
            )
        ],
    ),
    (
        in_spec(x={"type": "object", "properties": {"a": S}, "additionalProperties": S}),
        [("Forbidden", f"{X}.additionalProperties", "Forbidden: additionalProperties and properties are mutual exclusive")],
    ),
    (
        in_spec(x={"type": "object", "properties": {"a": S}, "additionalProperties": False}),
        [("Forbidden", f"{X}.additionalProperties", "Forbidden: additionalProperties and properties are mutual exclusive")],
    ),
    (
        obj_schema(metadata=obj_schema(labels={"type": "object"})),
        [
            (
                "Forbidden",
                f"{BASE}.properties[metadata]",
                "Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
            )
        ],
    ),
    (obj_schema(metadata=obj_schema(name=S | {"pattern": "^a"})), []),
    (in_spec(x=S | {"allOf": [S]}), [("Forbidden", f"{X}.allOf[0].type", "Forbidden: must be empty to be structural")]),
    (
        in_spec(x=S | {"not": {"nullable": True}}),
        [("Forbidden", f"{X}.not.nullable", "Forbidden: must be false to be structural")],
    ),
    (in_spec(x={"x-kubernetes-int-or-string": True, "anyOf": [I, S]}), []),
    (
        in_spec(x={"type": "object", "x-kubernetes-embedded-resource": True}),
        [
            (
                "Required",
                f"{X}.properties",
                "Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            )
        ],
    ),
    (
        in_spec(x=LIST | {"x-kubernetes-list-type": "bag"}),
        [("NotSupported", f"{X}.x-kubernetes-list-type", 'Unsupported value: "bag": supported values: "atomic", "set", "map"')],
    ),
    (
        keyed("k", items=obj_schema(k=S)),
        [
            (
                "Required",
                f"{X}.items.properties[k].default",
                "Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
            )
        ],
    ),
    (
        keyed("k", items=S),
        [
            (
                "Invalid",
                f"{X}.items.type",
                'Invalid value: "string": must be object if parent array\'s x-kubernetes-list-type is map',
            )
        ],
    ),
    (
        keyed("k", "k", items=obj_schema("k", k=S)),
        [("Invalid", f"{X}.x-kubernetes-list-map-keys", 'Invalid value: ["k","k"]: must not contain duplicate entries')],
    ),
    (
        in_spec(x=S | {"default": 1}),
        [("TypeInvalid", f"{X}.default", 'Invalid value: "integer":  in body must be of type string: "integer"')],
    ),
    (
        in_spec(x=obj_schema(a=S) | {"default": {"b": "1"}}),
        [("Invalid", f"{X}.default", 'Invalid value: {"b":"1"}: must not have unknown fields')],
    ),
    (in_spec(x=obj_schema("a", a=S) | {"default": {}}), [("Required", f"{X}.default.a", "Required value")]),
    (
        in_spec(x=S | {"pattern": "("}),
        [
            (
                "Invalid",
                f"{X}.pattern",
                'Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing regexp: missing closing ): `(`',
            )
        ],
    ),
    (
        in_spec(x=I | {"default": 5, "x-kubernetes-validations": [{"rule": "self > 10"}]}),
        [("Invalid", f"{X}.default", "Invalid value: 5: failed rule: self > 10")],
    ),
]


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS)
def test_schemas(schema: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    assert errors_of(crd(version(schema))) == expected


def test_schemas_that_differ_are_named_by_version() -> None:
    two = crd(version(obj_schema(a=S)), version(obj_schema(a={}), "v2", storage=False))
    assert [field for _, field, _ in errors_of(two)] == ["spec.versions[1].schema.openAPIV3Schema.properties[a].type"]


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def apply(body: Any) -> None:
        *parents, last = path.split(".")
        for part in parents:
            body = body[int(part)] if part.isdigit() else body.setdefault(part, {})
        body[last] = value

    return apply


FIRST = "spec.versions.0"
DEFINITIONS: list[tuple[str, Any, list[tuple[str, str]]]] = [
    ("metadata.name", "wrong", [("metadata.name", 'Invalid value: "wrong": must be spec.names.plural+"."+spec.group')]),
    ("spec.scope", "Everywhere", [("spec.scope", 'Unsupported value: "Everywhere": supported values: "Cluster", "Namespaced"')]),
    ("spec.names.listKind", "Thing", [("spec.names.listKind", 'Invalid value: "Thing": kind and listKind may not be the same')]),
    (
        "spec.preserveUnknownFields",
        True,
        [
            (
                "spec.preserveUnknownFields",
                "Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
            )
        ],
    ),
    (
        f"{FIRST}.storage",
        False,
        [
            (
                "spec.versions",
                'Invalid value: [{"Name":"v1","Served":true,"Storage":false,"Deprecated":false,"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,"SelectableFields":null}]: must have exactly one version marked as storage version',
            ),
            ("status.storedVersions", "Invalid value: null: must have at least one stored version"),
        ],
    ),
    (
        f"{FIRST}.deprecationWarning",
        "old",
        [("spec.versions[0].deprecationWarning", 'Invalid value: "old": can only be set for deprecated versions')],
    ),
    (
        f"{FIRST}.subresources",
        {"scale": {"specReplicasPath": ".foo", "statusReplicasPath": ".status.b"}},
        [("spec.subresources.scale.specReplicasPath", 'Invalid value: ".foo": should be a json path under .spec')],
    ),
    (
        f"{FIRST}.additionalPrinterColumns",
        [{"name": "A", "type": "frob", "jsonPath": "x"}],
        [
            ("spec.additionalPrinterColumns[0].type", 'Invalid value: "frob": must be one of boolean,date,integer,number,string'),
            ("spec.additionalPrinterColumns[0].JSONPath", 'Invalid value: "x": must be a simple json path starting with .'),
        ],
    ),
    (
        f"{FIRST}.selectableFields",
        [{"jsonPath": ".spec.zz"}, {"jsonPath": ".spec"}, {"jsonPath": ".spec.a"}],
        [
            (
                "spec.selectableFields[0].jsonPath",
                'Invalid value: ".spec.zz": is an invalid path: does not refer to a valid field',
            ),
            (
                "spec.selectableFields[1].jsonPath",
                'Invalid value: ".spec": must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
            ),
        ],
    ),
    (
        "spec.conversion",
        {"strategy": "Webhook"},
        [
            ("spec.conversion.conversionReviewVersions", "Required value"),
            ("spec.conversion.webhookClientConfig", "Required value: required when strategy is set to Webhook"),
        ],
    ),
    *(
        (
            "spec.conversion",
            {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {"url": url}}},
            [("spec.conversion.webhookClientConfig.url", text) for text in texts],
        )
        for url, texts in (
            ("https://host:443/path", ()),
            (
                "http://host",
                ("Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",),
            ),
            (
                "host/path",
                (
                    "Invalid value: \"\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
                    'Invalid value: "": host must be specified; desired format: https://host[/path]',
                ),
            ),
            ("https://me@host", ('Invalid value: "me": user information is not permitted in the URL',)),
            (
                "https://[",
                (
                    "Required value: url must be a valid URL: parse 'https://[': missing ']' in host; "
                    "desired format: https://host[/path]",
                ),
            ),
        )
    ),
]


@pytest.mark.parametrize(("path", "value", "expected"), DEFINITIONS)
def test_definitions(path: str, value: Any, expected: list[tuple[str, str]]) -> None:
    body = crd(version(in_spec(a=S)))
    change(path, value)(body)
    assert [(field, text) for _, field, text in errors_of(body)] == expected


def test_defaults_and_status() -> None:
    body = created(crd(version(obj_schema(a=S | {"description": "", "enum": []}))) | {"status": {"storedVersions": ["v9"]}})
    assert body["spec"]["names"] == {"plural": "things", "kind": "Thing", "singular": "thing", "listKind": "ThingList"}
    assert body["spec"]["conversion"] == {"strategy": "None"}
    assert body["status"]["storedVersions"] == ["v1"]
    assert body["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["a"] == S


def test_updates() -> None:
    old = created(crd(version(obj_schema(a=S))))
    old["status"] = naming_conditions(old, [])
    for path, value in (
        ("spec.group", "h.example"),
        ("spec.names.plural", "others"),
        ("spec.scope", "Cluster"),
        ("spec.names.kind", "Other"),
    ):
        new = orjson.loads(orjson.dumps(old))
        change(path, value)(new)
        assert ("Invalid", path, f'Invalid value: "{value}": field is immutable') in errors_of(new, old)
    new = orjson.loads(orjson.dumps(old))
    new["spec"]["versions"] = [version(obj_schema(a=S), "v2")]
    [(_, field, text)] = errors_of(new, old)
    assert field == "status.storedVersions[0]"
    assert text.startswith('Invalid value: "v1": missing from spec.versions; v1 was previously a storage version')
    new["spec"]["versions"].append(version(obj_schema(a=S), "v1", storage=False))
    assert errors_of(new, old) == []
    assert new["status"]["storedVersions"] == ["v1", "v2"]


def test_status_is_an_endpoint_of_its_own() -> None:
    old = created(crd(version(obj_schema(a=S))))
    new = orjson.loads(orjson.dumps(old)) | {"spec": {}, "status": {"storedVersions": []}}
    DEFINITION.strategy.prepare_for_update(new, old, "status")
    assert new["spec"] == old["spec"]
    assert new["status"]["storedVersions"] == ["v1"]


def test_a_status_is_decoded_as_go_does() -> None:
    body = created(crd(version(obj_schema(a=S))))
    body["status"] = {"conditions": [{}, {"type": "A", "status": "True", "reason": ""}], "acceptedNames": {"kind": "Thing"}}
    DEFINITION.strategy.default(body)
    assert body["status"] == {
        "conditions": [
            {"type": "", "status": "", "lastTransitionTime": None},
            {"type": "A", "status": "True", "lastTransitionTime": None},
        ],
        "acceptedNames": {"kind": "Thing", "plural": ""},
        "storedVersions": None,
    }
    wrong: Any
    for wrong in ("x", {"conditions": "x"}, {"conditions": ["x"]}, {"conditions": [{"type": 5}]}, {"acceptedNames": []}):
        with pytest.raises(Mismatch):
            DEFINITION.strategy.default({**body, "status": wrong})


def test_the_names_of_a_status_are_names() -> None:
    body = created(crd(version(obj_schema(a=S))))
    body["status"] |= {"acceptedNames": {"plural": "", "kind": "A_b", "shortNames": ["", "ok"], "singular": "x/y"}}
    fields = [error.field for error in DEFINITION.strategy.validate(body, body, "status")]
    assert fields == [f"status.acceptedNames.{name}" for name in ("singular", "kind", "shortNames[0]")]


def test_unknown_words_are_pruned_at_any_depth() -> None:
    body = crd(version(in_spec(x=S | {"frob": 1}, y={"type": "object", "additionalProperties": S | {"frob": 1}})))
    at = "spec.versions[0].schema.openAPIV3Schema.properties.spec.properties"
    assert prune(body, SCHEMA) == [f"{at}.x.frob", f"{at}.y.additionalProperties.frob"]


def test_a_wrong_type_cannot_be_decoded() -> None:
    with pytest.raises(Mismatch) as caught:
        errors_of(crd(version(in_spec(x={"type": ["string", "null"]}))))
    assert caught.value.text().startswith(
        "json: cannot unmarshal array into Go struct field JSONSchemaProps.spec.versions.schema."
    )


def test_formats_that_are_not_checked_are_told() -> None:
    assert crd_warnings(crd(version(in_spec(x=S | {"format": "frob"}, y=S | {"format": "date"}))), None) == [
        'unrecognized format "frob"'
    ]


def test_sets_that_apply_cannot_merge_are_told() -> None:
    def listed(**items: Any) -> dict[str, Any]:
        return {"type": "array", "x-kubernetes-list-type": "set", "items": items}

    atomic = obj_schema(a=S) | {"x-kubernetes-map-type": "atomic"}
    body = crd(
        version(in_spec(x=listed(**atomic), y=listed(**S), z={"type": "object", "additionalProperties": listed(**atomic)}))
    )
    text = 'x-kubernetes-list-type: set for items of type "{}" is not supported by server-side apply or CEL validation rules'
    assert crd_warnings(body, None) == [text.format("object")]
    more = orjson.loads(orjson.dumps(body))
    inner = {"type": "array", "x-kubernetes-list-type": "atomic", "items": S}
    more["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["w"] = listed(**inner)
    assert crd_warnings(more, body) == [text.format("array")]


def test_columns() -> None:
    names = {"plural": "things", "kind": "Thing", "shortNames": ["th", "ti"]}
    versions = [
        {"name": "v1", "served": True, "storage": True},
        {"name": "v1beta1", "served": True},
        {"name": "v0", "served": False},
    ]
    made = {
        "metadata": {"name": "things.g.example", "creationTimestamp": "2024-01-01T00:00:00Z"},
        "spec": {"scope": "Namespaced", "group": "g.example", "names": names, "versions": versions},
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }
    columns = DEFINITION.versions["v1"].columns
    assert [(each.name, each.type, each.priority) for each in columns] == [
        ("Name", "string", 0),
        ("Scope", "string", 0),
        ("Versions", "string", 0),
        ("Created At", "date", 0),
        ("Group", "string", 1),
        ("Kind", "string", 1),
        ("ShortNames", "string", 1),
        ("Established", "boolean", 1),
    ]
    assert [each.cell(made, datetime.now(UTC)) for each in columns] == [
        *("things.g.example", "Namespaced", "v1(storage),v1beta1", "2024-01-01T00:00:00Z", "g.example", "Thing", "th,ti", True)
    ]
    assert [each.cell({"metadata": {}}, datetime.now(UTC)) for each in columns] == [
        *("", "", "", "0001-01-01T00:00:00Z", "", "", "", False)
    ]


def names_in(status: dict[str, Any]) -> tuple[str, str]:
    [accepted] = [c for c in status["conditions"] if c["type"] == "NamesAccepted"]
    return accepted["reason"], accepted["message"]


def test_naming() -> None:
    winner = created(crd(version(obj_schema()), plural="firsts", kind="First", names={"shortNames": ["fi"]}))
    winner["status"] = naming_conditions(winner, [winner])
    assert names_in(winner["status"]) == ("NoConflicts", "no conflicts found")
    for plural, names, expected in (
        ("kinds", {"kind": "First"}, ("ListKindConflict", '"FirstList" is already in use')),
        ("shorts", {"kind": "Short", "shortNames": ["fi"]}, ("ShortNamesConflict", '"fi" is already in use')),
        ("singulars", {"kind": "Singular", "singular": "first"}, ("SingularConflict", '"first" is already in use')),
        ("plurals", {"kind": "Plural", "shortNames": ["firsts"]}, ("ShortNamesConflict", '"firsts" is already in use')),
    ):
        other = created(crd(version(obj_schema()), plural=plural, names=names))
        status = naming_conditions(other, [winner, other])
        assert names_in(status) == expected
        assert [c["status"] for c in status["conditions"]] == ["False", "False"]
        assert status["storedVersions"] == ["v1"]


def test_a_status_that_is_complete_does_not_change() -> None:
    body = created(crd(version(obj_schema())))
    body["status"] = naming_conditions(body, [])
    assert naming_conditions(body, []) == body["status"]


def test_what_is_empty_is_left_out_as_go_does() -> None:
    """Every field that Go declares with omitempty; a pointer to an empty value stays."""
    column = {"name": "c", "type": "string", "jsonPath": ".c", "priority": 0, "format": "", "description": ""}
    rule = {"rule": "true", "message": "", "messageExpression": "", "fieldPath": ""}
    empty = {"description": "", "title": "", "nullable": False, "uniqueItems": False, "required": [], "allOf": [], "enum": []}
    place = {
        "type": "string",
        **empty,
        "maxLength": 0,
        "default": "",
        "externalDocs": {"url": ""},
        "x-kubernetes-validations": [rule],
    }
    names: dict[str, Any] = {"shortNames": [], "categories": []}
    made = created(
        crd(
            version(obj_schema(a=place), additionalPrinterColumns=[column], deprecated=False, selectableFields=[]),
            names=names,
            preserveUnknownFields=False,
        )
    )
    [found] = made["spec"]["versions"]
    assert found["additionalPrinterColumns"] == [{"name": "c", "type": "string", "jsonPath": ".c"}]
    assert not {"deprecated", "selectableFields"} & found.keys()
    assert not {"shortNames", "categories"} & made["spec"]["names"].keys()
    assert "preserveUnknownFields" not in made["spec"]
    assert found["schema"]["openAPIV3Schema"]["properties"]["a"] == {
        "type": "string",
        "maxLength": 0,
        "default": "",
        "externalDocs": {},
        "x-kubernetes-validations": [{"rule": "true"}],
    }
