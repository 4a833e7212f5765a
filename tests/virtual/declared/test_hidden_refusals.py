"""What refusals tell of objects with hidden fields, and what the schema of a client's object leaves out."""

from __future__ import annotations

import pytest

from tenantry.kube.schema.default import default
from tenantry.kube.schema.parse import from_openapi
from tenantry.kube.status import FieldError, forbidden, invalid
from tenantry.kube.types import BUILTINS
from tenantry.virtual.declared.hidden.refusals import told
from tenantry.virtual.declared.hidden.schema import without_hidden_defaults
from tests.virtual.declared.gates import TEXT, structure

TYPES = {definition.plural: definition for definition in BUILTINS}
CONFIG_MAP, ROLE = TYPES["configmaps"], TYPES["roles"]
PATHS = (("spec", "key"), ("spec", "users", "password"), ("data", "tls", "key"))
NOT_TOLD = "Invalid value: why is not told, as the text may quote fields that this view does not show"
HIDDEN = "Invalid value: this view does not show the field, and its value or its absence does not allow the write"
PLAIN = from_openapi(structure(spec=structure(key=TEXT, size=TEXT, users={"type": "array", "items": structure(password=TEXT)})))
COMPUTED = from_openapi(
    structure(
        spec={
            **structure(key=TEXT, size=TEXT),
            "x-kubernetes-validations": [{"rule": "true", "messageExpression": "self.key", "fieldPath": ".size"}],
        }
    )
)


@pytest.mark.parametrize(
    ("field", "text", "field_told", "text_told"),
    [
        ("spec.size", 'Invalid value: "9": too large', "spec.size", 'Invalid value: "9": too large'),
        ("spec.keys", 'Invalid value: "9": too large', "spec.keys", 'Invalid value: "9": too large'),
        ("spec.key", 'Invalid value: "s": too short', "spec.key", HIDDEN),
        ("spec.key", "Required value", "spec.key", HIDDEN),
        ("spec.key.inner[3]", "Required value", "spec.key", HIDDEN),
        ("spec.users[0].password", 'Invalid value: "s": too short', "spec.users[0].password", HIDDEN),
        ("spec.users[0].name", 'Invalid value: "n": too short', "spec.users[0].name", 'Invalid value: "n": too short'),
        ("data[tls.key]", 'Invalid value: "s": too short', "data[tls.key]", HIDDEN),
        ("data.tls[key]", 'Invalid value: "s": too short', "data.tls[key]", HIDDEN),
        ("data[tls.crt]", 'Invalid value: "s": too short', "data[tls.crt]", 'Invalid value: "s": too short'),
        ("spec.users[0]", 'Duplicate value: {"password":"s"}', "spec.users[0]", NOT_TOLD),
        ("spec", 'Invalid value: {"key":"s"}: too many', "spec", NOT_TOLD),
        ("spec", "Invalid value: a fixed message", "spec", "Invalid value: a fixed message"),
        ("<nil>", 'Invalid value: {"spec":{"key":"s"}}: wrong', "<nil>", NOT_TOLD),
        ("spec.users", "Too many: 5: must have at most 3 items", "spec.users", "Too many: 5: must have at most 3 items"),
    ],
)
def test_texts_that_quote_hidden_fields(field: str, text: str, field_told: str, text_told: str) -> None:
    error = invalid("", "ConfigMap", "one", [FieldError("Invalid", field, text)])
    found = told(error, CONFIG_MAP, PLAIN, PATHS)
    [cause] = (found.details or {})["causes"]
    assert (found.code, cause["field"], cause["message"]) == (422, field_told, text_told)
    assert found.message == f'ConfigMap "one" is invalid: {field_told}: {text_told}'


def test_a_computed_message_is_not_told_wherever_it_is_reported() -> None:
    for field, is_told in (("spec", False), ("spec.size", False), ("status.phase", True)):
        error = invalid("", "ConfigMap", "one", [FieldError("Invalid", field, "Invalid value: the key is s")])
        assert ("the key is s" in str(told(error, CONFIG_MAP, COMPUTED, PATHS).to_object())) is is_told


def test_admission_of_a_type_that_it_knows_is_not_told() -> None:
    """The escalation check quotes rules."""
    text = 'user "a" is attempting to grant RBAC permissions not currently held: {Resources:["secrets"]}'
    found = told(forbidden(ROLE.group_resource, "one", text), ROLE, PLAIN, (("rules", "resources"),))
    assert found.code == 403 and "secrets" not in str(found.to_object())
    assert found.message.startswith('roles.rbac.authorization.k8s.io "one" is forbidden: why is not told')
    quota = forbidden(CONFIG_MAP.group_resource, "one", "exceeded quota: q")
    assert told(quota, CONFIG_MAP, PLAIN, PATHS) is quota


def test_a_client_is_not_given_defaults_of_hidden_fields() -> None:
    schema = from_openapi(
        structure(
            spec={
                **structure(
                    key={**TEXT, "default": "k"},
                    size={**TEXT, "default": "s"},
                    lock={**structure(maker=TEXT, key=TEXT), "default": {"maker": "m", "key": "k"}},
                    doors={"type": "object", "additionalProperties": structure(key={**TEXT, "default": "k"})},
                    users={"type": "array", "items": structure(password={**TEXT, "default": "p"}, role={**TEXT, "default": "r"})},
                ),
                "required": ["key", "size"],
            }
        )
    )
    paths = (("spec", "key"), ("spec", "lock", "key"), ("spec", "users", "password"), ("spec", "doors", "front", "key"))
    shown = without_hidden_defaults(schema, paths)
    obj = {"spec": {"users": [{}], "doors": {"front": {}}}}
    default(obj, shown)
    assert obj == {"spec": {"size": "s", "users": [{"role": "r"}], "doors": {"front": {}}}}
    assert shown.properties["spec"].required == ("size",)
    default(obj, schema)
    assert obj["spec"] == {
        "key": "k",
        "size": "s",
        "lock": {"maker": "m", "key": "k"},
        "doors": {"front": {"key": "k"}},
        "users": [{"role": "r", "password": "p"}],
    }
