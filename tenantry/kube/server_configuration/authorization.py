"""AuthorizationConfiguration: which authorizers are asked, in which order (KEP-3221)."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.kube.message_tables import message
from tenantry.kube.objects import Object
from tenantry.kube.server_configuration import go_durations
from tenantry.kube.server_configuration.decoding import ConfigurationError, decode

VERSIONS = ("v1alpha1", "v1beta1", "v1")
RBAC, WEBHOOK = "RBAC", "Webhook"
DENY, NO_OPINION = "Deny", "NoOpinion"
KUBECONFIG_FILE, IN_CLUSTER = "KubeConfigFile", "InClusterConfig"
AUTHORIZED_SECONDS, UNAUTHORIZED_SECONDS = 300, 30
_REF = "io.k8s.apiserver.pkg.apis.apiserver.v1."
_CONNECTION = message(
    _REF + "WebhookConnectionInfo",
    """
    1 type           string
    2 kubeConfigFile *string
    """,
)
_CONDITION = message(_REF + "WebhookMatchCondition", "1 expression string")
_WEBHOOK = message(
    _REF + "WebhookConfiguration",
    """
    1 authorizedTTL                            string
    2 cacheAuthorizedRequests                  *bool
    3 unauthorizedTTL                          string
    4 cacheUnauthorizedRequests                *bool
    5 timeout                                  string
    6 subjectAccessReviewVersion               string
    7 matchConditionSubjectAccessReviewVersion string
    8 failurePolicy                            string
    9 connectionInfo                           WebhookConnectionInfo
    10 matchConditions                         []WebhookMatchCondition
    """,
    _CONNECTION,
    _CONDITION,
)
_AUTHORIZER = message(
    _REF + "AuthorizerConfiguration",
    """
    1 type    string
    2 name    string
    3 webhook *WebhookConfiguration
    """,
    _WEBHOOK,
)
MESSAGE = message(_REF + "AuthorizationConfiguration", "1 authorizers []AuthorizerConfiguration", _AUTHORIZER, root=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionInfo:
    """`kubeconfig_file`: None where none is given."""

    type: str
    kubeconfig_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConfiguration:
    """Times in nanoseconds. `match_conditions`: the expressions."""

    connection: ConnectionInfo
    timeout: int
    authorized_ttl: int = AUTHORIZED_SECONDS * go_durations.SECOND
    caches_authorized: bool = True
    unauthorized_ttl: int = UNAUTHORIZED_SECONDS * go_durations.SECOND
    caches_unauthorized: bool = True
    review_version: str = ""
    condition_version: str = ""
    failure_policy: str = ""
    match_conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizerConfiguration:
    type: str
    name: str
    webhook: WebhookConfiguration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationConfiguration:
    authorizers: tuple[AuthorizerConfiguration, ...] = ()


def read(content: bytes) -> AuthorizationConfiguration:
    """The configuration in a file, with defaults. It is not validated (`authorization_validation`). Raises
    ConfigurationError."""
    obj = decode(content, MESSAGE, VERSIONS)
    return AuthorizationConfiguration(authorizers=tuple(map(_authorizer, obj.get("authorizers") or ())))


def _authorizer(obj: Object) -> AuthorizerConfiguration:
    webhook = obj.get("webhook")
    return AuthorizerConfiguration(
        type=obj.get("type", ""), name=obj.get("name", ""), webhook=None if webhook is None else _webhook(webhook)
    )


def _webhook(obj: Object) -> WebhookConfiguration:
    connection = obj.get("connectionInfo") or {}
    caches_authorized, caches_unauthorized = obj.get("cacheAuthorizedRequests"), obj.get("cacheUnauthorizedRequests")
    return WebhookConfiguration(
        connection=ConnectionInfo(type=connection.get("type", ""), kubeconfig_file=connection.get("kubeConfigFile")),
        timeout=_duration(obj, "timeout"),
        authorized_ttl=_duration(obj, "authorizedTTL") or AUTHORIZED_SECONDS * go_durations.SECOND,
        caches_authorized=caches_authorized is not False,
        unauthorized_ttl=_duration(obj, "unauthorizedTTL") or UNAUTHORIZED_SECONDS * go_durations.SECOND,
        caches_unauthorized=caches_unauthorized is not False,
        review_version=obj.get("subjectAccessReviewVersion", ""),
        condition_version=obj.get("matchConditionSubjectAccessReviewVersion", ""),
        failure_policy=obj.get("failurePolicy", ""),
        match_conditions=tuple(each.get("expression", "") for each in obj.get("matchConditions") or ()),
    )


def _duration(obj: Object, field: str) -> int:
    text = obj.get(field, "")
    if not text:
        return 0
    try:
        return go_durations.parsed(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
