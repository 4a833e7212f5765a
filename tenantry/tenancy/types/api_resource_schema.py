"""apis.kcp.io APIResourceSchema: the immutable definition of a type, for exports."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tenantry.tenancy.types.kcp_type import (
    AGE,
    KcpType,
    KcpVersion,
    any_object,
    array,
    boolean,
    integer,
    keyed,
    rule,
    string,
    structure,
)

_NAMES = structure(
    {
        "categories": array(string()) | {"x-kubernetes-list-type": "atomic"},
        "kind": string(min_length=1),
        "listKind": string(),
        "plural": string(min_length=1),
        "shortNames": array(string()) | {"x-kubernetes-list-type": "atomic"},
        "singular": string(),
    },
    "kind",
    "plural",
)

_COLUMN = structure(
    {
        "description": string(),
        "format": string(),
        "jsonPath": string(),
        "name": string(),
        "priority": integer(format="int32"),
        "type": string(),
    },
    "jsonPath",
    "name",
    "type",
)

_SUBRESOURCES = structure(
    {
        "scale": structure(
            {"labelSelectorPath": string(), "specReplicasPath": string(), "statusReplicasPath": string()},
            "specReplicasPath",
            "statusReplicasPath",
        ),
        "status": any_object(),
    }
)

_VERSION = structure(
    {
        "additionalPrinterColumns": keyed(_COLUMN, "name"),
        "deprecated": boolean(),
        "deprecationWarning": string(),
        "name": string(min_length=1, pattern=r"^v[1-9][0-9]*([a-z]+[1-9][0-9]*)?$"),
        "schema": any_object(description="The OpenAPI v3 schema, under the rules of CustomResourceDefinitions."),
        "selectableFields": array(structure({"jsonPath": string()}, "jsonPath"), max_items=8)
        | {"x-kubernetes-list-type": "atomic"},
        "served": boolean(default=True),
        "storage": boolean(),
        "subresources": _SUBRESOURCES,
    },
    "name",
    "schema",
    "served",
    "storage",
)

_CONVERSION: Object = structure(
    {
        "strategy": string(enum=["None", "Webhook"]),
        "webhook": structure(
            {
                "clientConfig": structure({"caBundle": string(format="byte"), "url": string(format="uri")}),
                "conversionReviewVersions": array(string()) | {"x-kubernetes-list-type": "atomic"},
            },
            "conversionReviewVersions",
        ),
    },
    "strategy",
    rules=(
        rule(
            "(self.strategy == 'None' && !has(self.webhook)) || (self.strategy == 'Webhook' && has(self.webhook))",
            "Webhook must be specified if strategy=Webhook",
        ),
    ),
)

API_RESOURCE_SCHEMA = KcpType(
    group="apis.kcp.io",
    plural="apiresourceschemas",
    singular="apiresourceschema",
    kind="APIResourceSchema",
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="APIResourceSchema describes a resource that an APIExport may offer. It is immutable.",
            spec=structure(
                {
                    "conversion": _CONVERSION,
                    "group": string(),
                    "nameValidation": string(enum=["DNS1123Subdomain", "PathSegmentName"], default="DNS1123Subdomain"),
                    "names": _NAMES,
                    "scope": string(enum=["Cluster", "Namespaced"]),
                    "versions": keyed(_VERSION, "name", min_items=1),
                },
                "group",
                "names",
                "scope",
                "versions",
            ),
            columns=(AGE,),
        ),
    ),
)
