"""The OpenAPI schemas of permission claims in APIExports and APIBindings, in both versions."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tenantry.tenancy.types.kcp_type import array, boolean, rule, string, structure

RESOURCE_PATTERN = r"^[a-z][-a-z0-9]*[a-z0-9]$"
_GROUP_PATTERN = r"^(|[a-z0-9]([-a-z0-9]*[a-z0-9](\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?)$"
_ACCEPTED = "Accepted"
_REJECTED = "Rejected"

_EXPRESSIONS = array(
    structure({"key": string(), "operator": string(), "values": array(string())}, "key", "operator"),
)

SELECTOR: Object = structure(
    {
        "matchAll": boolean(description="Every object; exclusive of the others."),
        "matchExpressions": _EXPRESSIONS,
        "matchLabels": {"type": "object", "additionalProperties": string()},
    },
    rules=(
        rule(
            "has(self.matchAll) != (has(self.matchLabels) || has(self.matchExpressions))",
            'either "matchAll", "matchLabels" or "matchExpressions" must be set',
        ),
        rule("!has(self.matchAll) || self.matchAll", "matchAll can only be true"),
    ),
) | {"x-kubernetes-map-type": "atomic"}

_COMMON: dict[str, Object] = {
    "group": string(default="", pattern=_GROUP_PATTERN, description="The API group, empty for the core one."),
    "identityHash": string(
        default="", description="The identity of the export that the resource comes from; empty for built-in types."
    ),
    "resource": string(pattern=RESOURCE_PATTERN),
}

_VERBS = array(string(), min_items=1) | {"x-kubernetes-list-type": "set"}

CLAIM: Object = structure({**_COMMON, "defaultSelector": SELECTOR, "verbs": _VERBS}, "resource", "verbs")
"""APIExport v1alpha2 `spec.permissionClaims[]`."""

SCOPED_CLAIM: Object = structure({**_COMMON, "selector": SELECTOR, "verbs": _VERBS}, "resource", "selector", "verbs")
"""APIBinding v1alpha2 `status.appliedPermissionClaims[]`."""

ACCEPTABLE_CLAIM: Object = structure(
    {
        **_COMMON,
        "selector": SELECTOR
        | {
            "x-kubernetes-validations": [
                *SELECTOR["x-kubernetes-validations"],
                rule("self == oldSelf", "Permission claim selector must not be changed"),
            ]
        },
        "state": string(enum=[_ACCEPTED, _REJECTED]),
        "verbs": _VERBS,
    },
    "resource",
    "selector",
    "state",
    "verbs",
)
"""APIBinding v1alpha2 `spec.permissionClaims[]`."""

_OLD_FIELDS: dict[str, Object] = {
    **_COMMON,
    "all": boolean(),
    "resourceSelector": array(structure({"name": string(), "namespace": string()})),
}
_OLD_RULE = rule(
    "(has(self.all) && self.all) != (has(self.resourceSelector) && size(self.resourceSelector) > 0)",
    'either "all" or "resourceSelector" must be set',
)

OLD_CLAIM: Object = structure(_OLD_FIELDS, "resource", rules=(_OLD_RULE,))
"""v1alpha1 of `CLAIM` and of `SCOPED_CLAIM`."""

OLD_ACCEPTABLE_CLAIM: Object = structure(
    {**_OLD_FIELDS, "state": string(enum=[_ACCEPTED, _REJECTED])}, "resource", "state", rules=(_OLD_RULE,)
)
"""v1alpha1 of `ACCEPTABLE_CLAIM`."""
