"""The texts that fields of built-in types may have, in OpenAPI documents."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.kube.openapi.components import V2, V3, collect
from tenantry.kube.openapi.values import _all, show_values
from tenantry.kube.types import BUILTINS
from tenantry.tenancy.types.workload_type import WORKLOAD_TYPES

ROOTS = [
    *(version.schema for definition in BUILTINS for version in definition.versions.values()),
    *(v.schema for each in WORKLOAD_TYPES for v in each.define(identity="x", uid="x").versions.values()),
]


def enums(value: Any) -> int:
    if isinstance(value, dict):
        return ("enum" in value) + sum(map(enums, value.values()))
    return sum(map(enums, value)) if isinstance(value, list) else 0


@pytest.mark.parametrize("form", [V2, V3], ids=["v2", "v3"])
def test_components_show_them(form: Any) -> None:
    found = {".".join(ref.split(".")[-3:]): component for ref, component in collect(ROOTS, form).items()}
    strategy = found["apps.v1.DeploymentStrategy"]["properties"]["type"]
    assert strategy["enum"] == ["Recreate", "RollingUpdate"]
    usages = found["certificates.v1.CertificateSigningRequestSpec"]["properties"]["usages"]
    assert "digital signature" in usages["items"]["enum"] and "enum" not in usages
    statuses = found["core.v1.PersistentVolumeClaimStatus"]["properties"]["allocatedResourceStatuses"]
    assert len(statuses["additionalProperties"]["enum"]) > 3
    assert "" in found["core.v1.HostPathVolumeSource"]["properties"]["type"]["enum"]
    # As many as in kube-apiserver 1.37.2.
    assert sum(enums(component) for name, component in found.items() if name.startswith("admissionregistration.v1.")) == 17


def test_all_are_of_fields_that_exist() -> None:
    found = {".".join(ref.split(".")[-3:]): component for ref, component in collect(ROOTS, V3).items()}
    missing = [
        f"{name}.{field}"
        for name, fields in _all().items()
        for field in fields
        if name in found and field.removesuffix("[]") not in found[name]["properties"]
    ]
    assert missing == []
    assert len([name for name in _all() if name in found]) > 60


def test_a_type_of_a_tenant_has_its_own() -> None:
    properties = {"type": {"type": "string"}}
    show_values("com.example.apps.v1.DeploymentStrategy", properties)
    assert properties == {"type": {"type": "string"}}
