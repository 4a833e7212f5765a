"""apis.kcp.io APIResourceSchema: the immutable definition of a type, for exports."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.kube.definition import Strategy
from tenantry.kube.objects import Object
from tenantry.kube.schema.ruled_schemas import RULES_AT_ONCE, characters_of_rules
from tenantry.kube.status import FieldError
from tenantry.tenancy.types.api_resource_schema_validation import validate_api_resource_schema
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
from tenantry.tenancy.types.strategy import TypeStrategy

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


class ApiResourceSchemaStrategy(TypeStrategy):
    """Finds what is wrong with the definition. Admission answers that with 403, as kcp does."""

    may_take_long = True
    refuses = True

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        return old is None and characters_of_rules(obj.get("spec")) > RULES_AT_ONCE

    def findings(self, obj: Object) -> list[FieldError]:
        return validate_api_resource_schema(obj)


_STRATEGY: Callable[[Strategy], Strategy] = ApiResourceSchemaStrategy

API_RESOURCE_SCHEMA = KcpType(
    group="apis.kcp.io",
    plural="apiresourceschemas",
    singular="apiresourceschema",
    kind="APIResourceSchema",
    strategy=_STRATEGY,
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
