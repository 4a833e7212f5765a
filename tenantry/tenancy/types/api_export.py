"""apis.kcp.io APIExport: an API that a workspace offers to others."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tenantry.tenancy.types.claim_schemas import CLAIM, OLD_CLAIM
from tenantry.tenancy.types.conversion import export_down, export_up
from tenantry.tenancy.types.kcp_type import AGE, CONDITIONS, KcpType, KcpVersion, array, keyed, rule, string, structure

SKIP_ANNOTATION = "apiexports.apis.kcp.io/skip-endpointslice"
"""An APIExport with it gets no APIExportEndpointSlice of its name (kcp)."""
_IDENTITY = structure(
    {"secretRef": structure({"name": string(), "namespace": string()}) | {"x-kubernetes-map-type": "atomic"}},
    description="The secret whose key makes the identity of the export.",
)
_POLICY = structure({"local": structure({})}) | {"oneOf": [{"required": ["local"]}]}
_STATUS: Object = structure(
    {
        "conditions": CONDITIONS,
        "identityHash": string(),
        "virtualWorkspaces": array(structure({"url": string(format="URL", min_length=1)}, "url")),
    }
)
_RESOURCE = structure(
    {
        "group": string(default="", description="The API group, empty for the core one."),
        "name": string(pattern=r"^[a-z][-a-z0-9]*[a-z0-9]$", min_length=1),
        "schema": string(min_length=1, description="The name of the APIResourceSchema."),
        "storage": structure(
            {
                "crd": structure({}),
                "virtual": structure(
                    {
                        "identityHash": string(),
                        "reference": structure({"apiGroup": string(), "kind": string(), "name": string()}, "kind", "name")
                        | {"x-kubernetes-map-type": "atomic"},
                    },
                    "identityHash",
                    "reference",
                ),
            },
            rules=(rule("has(self.crd) != has(self.virtual)", "Exactly one of crd or virtual must be set"),),
        )
        | {"default": {"crd": {}}},
    },
    "name",
    "schema",
)

API_EXPORT = KcpType(
    group="apis.kcp.io",
    plural="apiexports",
    singular="apiexport",
    kind="APIExport",
    versions=(
        KcpVersion(
            name="v1alpha2",
            description="APIExport offers the APIs of a workspace to others.",
            spec=structure(
                {
                    "identity": _IDENTITY,
                    "maximalPermissionPolicy": _POLICY,
                    "permissionClaims": keyed(CLAIM, "group", "resource"),
                    "resources": keyed(_RESOURCE, "name", "group"),
                }
            ),
            status=_STATUS,
            columns=(AGE,),
        ),
        KcpVersion(
            name="v1alpha1",
            storage=False,
            description="APIExport offers the APIs of a workspace to others.",
            spec=structure(
                {
                    "identity": _IDENTITY,
                    "latestResourceSchemas": array(string()) | {"x-kubernetes-list-type": "set"},
                    "maximalPermissionPolicy": _POLICY,
                    "permissionClaims": keyed(OLD_CLAIM, "group", "resource"),
                }
            ),
            status=_STATUS,
            columns=(AGE,),
            from_storage=export_down,
            to_storage=export_up,
        ),
    ),
)
