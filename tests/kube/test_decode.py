"""Decoding of built-in types: Go's complaints, and the form that Go would write back."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.decode import check_types, unknown_fields
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError
from tenantry.kube.types import (
    certificate_signing_request,
    config_map,
    lease,
    rbac,
    resource_quota,
    secret,
    validating_admission_policy,
    webhook_configuration,
)

CONFIG_MAP, SECRET, LEASE = config_map.DEFINITION, secret.DEFINITION, lease.DEFINITION
MICRO = "2006-01-02T15:04:05.000000Z07:00"


@pytest.mark.parametrize(
    ("definition", "fields", "text"),
    [
        (CONFIG_MAP, {"data": {"a": 5}}, "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        (CONFIG_MAP, {"data": []}, "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"),
        (CONFIG_MAP, {"immutable": "yes"}, "json: cannot unmarshal string into Go struct field ConfigMap.immutable of type bool"),
        (
            CONFIG_MAP,
            {"metadata": "x"},
            "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type v1.ObjectMeta",
        ),
        (
            CONFIG_MAP,
            {"metadata": {"name": 5}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            CONFIG_MAP,
            {"metadata": {"ownerReferences": {}}},
            "json: cannot unmarshal object into Go struct field ObjectMeta.metadata.ownerReferences of type []v1.OwnerReference",
        ),
        (
            CONFIG_MAP,
            {"metadata": {"creationTimestamp": "yesterday"}},
            'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006"',
        ),
        (CONFIG_MAP, {"binaryData": {"a": "***"}}, "illegal base64 data at input byte 0"),
        (SECRET, {"type": 7}, "json: cannot unmarshal number into Go struct field Secret.type of type v1.SecretType"),
        (
            LEASE,
            {"spec": {"leaseDurationSeconds": 1.5}},
            "json: cannot unmarshal number 1.5 into Go struct field LeaseSpec.spec.leaseDurationSeconds of type int32",
        ),
        (
            LEASE,
            {"spec": {"leaseDurationSeconds": 3000000000}},
            "json: cannot unmarshal number 3000000000 into Go struct field LeaseSpec.spec.leaseDurationSeconds of type int32",
        ),
        (
            LEASE,
            {"spec": {"renewTime": "2020-01-01T00:00:00.123Z"}},
            f'parsing time "2020-01-01T00:00:00.123Z" as "{MICRO}": cannot parse ".123Z" as ".000000"',
        ),
        (
            rbac.ROLES,
            {"rules": [{"verbs": "get"}]},
            "json: cannot unmarshal string into Go struct field PolicyRule.rules.verbs of type []string",
        ),
        (
            resource_quota.DEFINITION,
            {"spec": {"hard": {"configmaps": "x"}}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            resource_quota.DEFINITION,
            {"spec": {"hard": "x"}},
            "json: cannot unmarshal string into Go struct field ResourceQuotaSpec.spec.hard of type v1.ResourceList",
        ),
        (
            certificate_signing_request.DEFINITION,
            {"spec": {"extra": {"a": {}}}},
            "json: cannot unmarshal object into Go struct field CertificateSigningRequestSpec.spec.extra of type v1.ExtraValue",
        ),
        (
            webhook_configuration.VALIDATING,
            {"webhooks": [{"rules": [{"operations": 5}]}]},
            "json: cannot unmarshal number into Go struct field RuleWithOperations.webhooks.rules.operations of type "
            "[]v1.OperationType",
        ),
        (
            webhook_configuration.VALIDATING,
            {"webhooks": [{"rules": [{"resources": "x"}]}]},
            "json: cannot unmarshal string into Go struct field RuleWithOperations.webhooks.rules.Rule.resources of type "
            "[]string",
        ),
        (
            validating_admission_policy.POLICIES,
            {"spec": {"matchConstraints": {"resourceRules": [{"apiGroups": "x"}]}}},
            "json: cannot unmarshal string into Go struct field NamedRuleWithOperations.spec.matchConstraints.resourceRules."
            "RuleWithOperations.Rule.apiGroups of type []string",
        ),
    ],
)
def test_wrong_types(definition: ResourceDefinition, fields: Object, text: str) -> None:
    with pytest.raises(StatusError) as raised:
        check_types({"metadata": {"name": "x"}} | fields, definition, "v1")
    assert raised.value.code == 400
    assert raised.value.message == f'{definition.kind} in version "v1" cannot be handled as a {definition.kind}: {text}'


@pytest.mark.parametrize(
    ("definition", "given", "expected"),
    [
        (CONFIG_MAP, {"data": {"a": None}, "immutable": None}, {"data": {"a": ""}}),
        (CONFIG_MAP, {"data": {}, "immutable": False}, {"immutable": False}),
        (CONFIG_MAP, {"metadata": {"name": "", "labels": {}, "finalizers": [], "creationTimestamp": None}}, {}),
        (SECRET, {"data": {"a": "YQ\n=="}}, {"data": {"a": "YQ=="}}),
        (
            LEASE,
            {"spec": {"renewTime": "2020-01-01T02:00:00.000000+02:00", "holderIdentity": ""}},
            {"spec": {"renewTime": "2020-01-01T00:00:00.000000Z", "holderIdentity": ""}},
        ),
        (LEASE, {}, {"spec": {}}),
        (rbac.ROLES, {"rules": []}, {"rules": None}),
        (
            resource_quota.DEFINITION,
            {"spec": {"hard": {"a": 3, "b": "1000M", "c": "0.5", "d": None}}},
            {"spec": {"hard": {"a": "3", "b": "1G", "c": "500m", "d": "0"}}, "status": {}},
        ),
    ],
)
def test_canonical_form(definition: ResourceDefinition, given: Object, expected: Object) -> None:
    obj: Object = {"metadata": {}} | given
    check_types(obj, definition, "v1")
    assert obj == {"metadata": {}} | expected
    again = dict(obj)
    check_types(again, definition, "v1")
    assert again == obj


def test_unknown_fields_are_named_in_order_and_dropped() -> None:
    obj: dict[str, Any] = {
        "zzz": 1,
        "metadata": {"foo": 1, "labels": {"any": "thing"}, "managedFields": [{"fieldsV1": {"f:x": {}}}]},
        "rules": [{"verbs": ["get"], "ApiGroups": [""]}],
    }
    assert unknown_fields(obj, rbac.ROLES.versions["v1"].schema) == ["zzz", "metadata.foo", "rules[0].ApiGroups"]
    assert obj == {
        "metadata": {"labels": {"any": "thing"}, "managedFields": [{"fieldsV1": {"f:x": {}}}]},
        "rules": [{"verbs": ["get"]}],
    }


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("0001-01-01T00:00:00Z", None),
        ("0001-01-01T01:00:00+01:00", None),
        ("0001-01-01T00:00:01Z", "0001-01-01T00:00:01Z"),
        ("0999-02-03T04:05:06Z", "0999-02-03T04:05:06Z"),
    ],
)
def test_times_of_early_years(sent: str, kept: str | None) -> None:
    """What is stored can be read again, and the zero time is none."""
    obj: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "creationTimestamp": sent}}
    for _ in range(2):
        check_types(obj, CONFIG_MAP, "v1")
        assert obj["metadata"].get("creationTimestamp") == kept
    spec: Object = {
        "renewTime": sent.replace(":06Z", ":06.000000Z").replace(":00Z", ":00.000000Z").replace(":01Z", ":01.000000Z")
    }
    if "+" not in sent:
        owned: Object = {"metadata": {"name": "x"}, "spec": spec}
        check_types(owned, LEASE, "v1")
        assert owned["spec"].get("renewTime") == (kept and spec["renewTime"])
