"""AuthenticationConfiguration: how JWTs of issuers become users, and which requests may be anonymous (KEP-3331)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tenantry.kube.message_tables import message
from tenantry.kube.objects import Object
from tenantry.kube.server_configuration.decoding import decode

VERSIONS = ("v1alpha1", "v1beta1", "v1")
_REF = "io.k8s.apiserver.pkg.apis.apiserver.v1."
_ISSUER = message(
    _REF + "Issuer",
    """
    1 url                  string
    2 discoveryURL         *string
    3 certificateAuthority string
    4 audiences            []string
    5 audienceMatchPolicy  string(v1.AudienceMatchPolicyType)
    6 egressSelectorType   string(v1.EgressSelectorType)
    """,
)
_CLAIM_RULE = message(
    _REF + "ClaimValidationRule",
    """
    1 claim         string
    2 requiredValue string
    3 expression    string
    4 message       string
    """,
)
_PREFIXED = message(
    _REF + "PrefixedClaimOrExpression",
    """
    1 claim      string
    2 prefix     *string
    3 expression string
    """,
)
_PLAIN = message(
    _REF + "ClaimOrExpression",
    """
    1 claim      string
    2 expression string
    """,
)
_EXTRA = message(
    _REF + "ExtraMapping",
    """
    1 key             string
    2 valueExpression string
    """,
)
_MAPPINGS = message(
    _REF + "ClaimMappings",
    """
    1 username PrefixedClaimOrExpression
    2 groups   PrefixedClaimOrExpression
    3 uid      ClaimOrExpression
    4 extra    []ExtraMapping
    """,
    _PREFIXED,
    _PLAIN,
    _EXTRA,
)
_USER_RULE = message(
    _REF + "UserValidationRule",
    """
    1 expression string
    2 message    string
    """,
)
JWT = message(
    _REF + "JWTAuthenticator",
    """
    1 issuer               Issuer
    2 claimValidationRules []ClaimValidationRule
    3 claimMappings        ClaimMappings
    4 userValidationRules  []UserValidationRule
    """,
    _ISSUER,
    _CLAIM_RULE,
    _MAPPINGS,
    _USER_RULE,
)
_CONDITION = message(_REF + "AnonymousAuthCondition", "1 path string")
_ANONYMOUS = message(
    _REF + "AnonymousAuthConfig",
    """
    1 enabled    bool
    2 conditions []AnonymousAuthCondition
    """,
    _CONDITION,
)
MESSAGE = message(
    _REF + "AuthenticationConfiguration",
    """
    1 jwt       []JWTAuthenticator
    2 anonymous *AnonymousAuthConfig
    """,
    JWT,
    _ANONYMOUS,
    root=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """`certificate_authority`: PEM, empty for the system's CAs. `discovery_url`: where its discovery document is, empty for the
    place below its URL."""

    url: str
    audiences: tuple[str, ...]
    discovery_url: str = ""
    certificate_authority: str = ""
    audience_match_policy: str = ""
    egress_selector_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRule:
    claim: str = ""
    required_value: str = ""
    expression: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Where a part of a user comes from: a claim, or an expression. `prefix`: None where none is given."""

    claim: str = ""
    prefix: str | None = None
    expression: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraMapping:
    key: str
    expression: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRule:
    expression: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtAuthenticator:
    """How the JWTs of one issuer become users."""

    issuer: Issuer
    claim_rules: tuple[ClaimRule, ...] = ()
    username: Mapping = Mapping()
    groups: Mapping = Mapping()
    uid: Mapping = Mapping()
    extra: tuple[ExtraMapping, ...] = ()
    user_rules: tuple[UserRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Anonymous:
    """Whether requests may be anonymous. `paths`: the only ones; empty: all."""

    enabled: bool
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticationConfiguration:
    """`anonymous`: None where the file does not say."""

    jwt: tuple[JwtAuthenticator, ...] = ()
    anonymous: Anonymous | None = None


def read(content: bytes) -> AuthenticationConfiguration:
    """The configuration in a file. It is not validated (`authentication_validation`). Raises ConfigurationError."""
    obj = decode(content, MESSAGE, VERSIONS)
    anonymous = obj.get("anonymous")
    return AuthenticationConfiguration(
        jwt=tuple(map(jwt_authenticator, obj.get("jwt") or ())),
        anonymous=None
        if anonymous is None
        else Anonymous(
            enabled=anonymous.get("enabled", False),
            paths=tuple(condition.get("path", "") for condition in anonymous.get("conditions") or ()),
        ),
    )


def jwt_authenticator(obj: Object) -> JwtAuthenticator:
    """One item of `jwt`, decoded."""
    issuer, mappings = obj.get("issuer") or {}, obj.get("claimMappings") or {}
    return JwtAuthenticator(
        issuer=Issuer(
            url=issuer.get("url", ""),
            discovery_url=issuer.get("discoveryURL") or "",
            certificate_authority=issuer.get("certificateAuthority", ""),
            audiences=tuple(issuer.get("audiences") or ()),
            audience_match_policy=issuer.get("audienceMatchPolicy", ""),
            egress_selector_type=issuer.get("egressSelectorType", ""),
        ),
        claim_rules=tuple(
            ClaimRule(
                claim=rule.get("claim", ""),
                required_value=rule.get("requiredValue", ""),
                expression=rule.get("expression", ""),
                message=rule.get("message", ""),
            )
            for rule in obj.get("claimValidationRules") or ()
        ),
        username=_mapping(mappings.get("username")),
        groups=_mapping(mappings.get("groups")),
        uid=_mapping(mappings.get("uid")),
        extra=tuple(
            ExtraMapping(key=each.get("key", ""), expression=each.get("valueExpression", ""))
            for each in mappings.get("extra") or ()
        ),
        user_rules=tuple(
            UserRule(expression=rule.get("expression", ""), message=rule.get("message", ""))
            for rule in obj.get("userValidationRules") or ()
        ),
    )


def _mapping(obj: Any) -> Mapping:
    found = obj or {}
    return Mapping(claim=found.get("claim", ""), prefix=found.get("prefix"), expression=found.get("expression", ""))
