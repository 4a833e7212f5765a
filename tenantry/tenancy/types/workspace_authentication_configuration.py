"""tenancy.kcp.io WorkspaceAuthenticationConfiguration: token issuers that workspaces of a type trust."""

from __future__ import annotations

from tenantry.kube.objects import Object
from tenantry.tenancy.types.kcp_type import AGE, KcpType, KcpVersion, array, rule, string, structure

LIST_LIMIT = 64
"""As for issuers in Kubernetes' AuthenticationConfiguration. It also limits the cost of the rules below."""
_EITHER = "either {0} or expression must be specified, but not both"


def _claim_or_expression() -> Object:
    return structure(
        {"claim": string(), "expression": string(), "prefix": string()},
        rules=(
            rule("has(self.claim) ? !has(self.expression) : has(self.expression)", _EITHER.format("claim")),
            rule("has(self.claim) || !has(self.prefix)", "prefix is only allowed with claim"),
        ),
    )


_ISSUER = structure(
    {
        "audienceMatchPolicy": string(enum=["MatchAny"]),
        "audiences": array(string()),
        "certificateAuthority": string(),
        "discoveryURL": string(),
        "url": string(),
    },
    "url",
)

_JWT = structure(
    {
        "claimMappings": structure(
            {
                "extra": array(
                    structure({"key": string(), "valueExpression": string()}, "key", "valueExpression"), max_items=LIST_LIMIT
                ),
                "groups": _claim_or_expression(),
                "uid": structure(
                    {"claim": string(), "expression": string()},
                    rules=(rule("has(self.claim) ? !has(self.expression) : has(self.expression)", _EITHER.format("claim")),),
                ),
                "username": _claim_or_expression(),
            }
        ),
        "claimValidationRules": array(
            structure(
                {"claim": string(), "expression": string(), "message": string(), "requiredValue": string()},
                rules=(
                    rule("has(self.claim) ? !has(self.expression) : has(self.expression)", _EITHER.format("claim")),
                    rule("has(self.claim) ? has(self.requiredValue) : !has(self.requiredValue)", "requiredValue goes with claim"),
                    rule("has(self.expression) || !has(self.message)", "message goes with expression"),
                ),
            ),
            max_items=LIST_LIMIT,
        ),
        "issuer": _ISSUER,
        "userValidationRules": array(
            structure({"expression": string(), "message": string()}, "expression"), max_items=LIST_LIMIT
        ),
    },
    "issuer",
)

WORKSPACE_AUTHENTICATION_CONFIGURATION = KcpType(
    group="tenancy.kcp.io",
    plural="workspaceauthenticationconfigurations",
    singular="workspaceauthenticationconfiguration",
    kind="WorkspaceAuthenticationConfiguration",
    versions=(
        KcpVersion(
            name="v1alpha1",
            description="WorkspaceAuthenticationConfiguration names token issuers for the workspaces of a type.",
            spec=structure({"jwt": array(_JWT, max_items=LIST_LIMIT)}, "jwt"),
            columns=(AGE,),
        ),
    ),
)
