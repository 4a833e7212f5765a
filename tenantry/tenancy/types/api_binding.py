"""apis.kcp.io APIBinding: a workspace takes the API of an export."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tenantry.tenancy.types.claim_schemas import ACCEPTABLE_CLAIM, CLAIM, OLD_ACCEPTABLE_CLAIM, OLD_CLAIM, SCOPED_CLAIM
from tenantry.tenancy.types.conversion import binding_down, binding_up
from tenantry.tenancy.types.kcp_type import (
    AGE,
    CONDITIONS,
    PATH_PATTERN,
    KcpType,
    KcpVersion,
    array,
    keyed,
    rule,
    string,
    structure,
)

_REFERENCE = structure(
    {
        "export": structure(
            {
                "name": string(min_length=1),
                "path": string(pattern=PATH_PATTERN, description="A path or an id; empty: the same workspace."),
            },
            "name",
        )
    },
    rules=(
        rule("has(self.export)", "exactly one reference must be set"),
        rule("self == oldSelf", "APIExport reference must not be changed"),
    ),
)

_BOUND = structure(
    {
        "group": string(default=""),
        "resource": string(),
        "schema": structure(
            {"UID": string(min_length=1), "identityHash": string(min_length=1), "name": string(min_length=1)},
            "UID",
            "identityHash",
            "name",
        ),
        "storageVersions": array(string()) | {"x-kubernetes-list-type": "set"},
    },
    "resource",
    "schema",
)


def _status(export_claim: Object, applied_claim: Object) -> Object:
    return structure(
        {
            "apiExportClusterName": string(),
            "appliedPermissionClaims": array(applied_claim),
            "boundResources": keyed(_BOUND, "group", "resource"),
            "conditions": CONDITIONS,
            "exportPermissionClaims": array(export_claim),
            "phase": string(enum=["", "Binding", "Bound"]),
        },
        rules=(
            rule(
                "!has(oldSelf.phase) || oldSelf.phase == '' || (has(self.phase) && self.phase != '')", "phase must not be unset"
            ),
        ),
    )


_COLUMNS = (AGE, ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'))

API_BINDING = KcpType(
    group="apis.kcp.io",
    plural="apibindings",
    singular="apibinding",
    kind="APIBinding",
    versions=(
        KcpVersion(
            name="v1alpha2",
            description="APIBinding takes the APIs of an APIExport into a workspace.",
            spec=structure(
                {
                    "permissionClaims": keyed(ACCEPTABLE_CLAIM, "group", "resource", "identityHash"),
                    "reference": _REFERENCE,
                },
                "reference",
            ),
            status=_status(CLAIM, SCOPED_CLAIM),
            required=("spec",),
            columns=_COLUMNS,
        ),
        KcpVersion(
            name="v1alpha1",
            storage=False,
            description="APIBinding takes the APIs of an APIExport into a workspace.",
            spec=structure(
                {
                    "permissionClaims": array(OLD_ACCEPTABLE_CLAIM),
                    "reference": _REFERENCE,
                },
                "reference",
            ),
            status=_status(OLD_CLAIM, OLD_CLAIM),
            required=("spec",),
            columns=_COLUMNS,
            from_storage=binding_down,
            to_storage=binding_up,
        ),
    ),
)
