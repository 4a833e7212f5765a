"""Types that are not stored: access reviews, token reviews and token requests. Connectors answer them."""

from __future__ import annotations

from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.message_tables import FIELD_SELECTOR_REQUIREMENT, LABEL_SELECTOR_REQUIREMENT, Message, kind, message

_AUTHORIZATION = "io.k8s.api.authorization.v1."
_AUTHENTICATION = "io.k8s.api.authentication.v1."

_FIELD_SELECTOR = message(
    _AUTHORIZATION + "FieldSelectorAttributes",
    """
    1 rawSelector  string
    2 requirements []FieldSelectorRequirement
    """,
    FIELD_SELECTOR_REQUIREMENT,
)
_LABEL_SELECTOR = message(
    _AUTHORIZATION + "LabelSelectorAttributes",
    """
    1 rawSelector  string
    2 requirements []LabelSelectorRequirement
    """,
    LABEL_SELECTOR_REQUIREMENT,
)
_RESOURCE_ATTRIBUTES = message(
    _AUTHORIZATION + "ResourceAttributes",
    """
    1 namespace     string
    2 verb          string
    3 group         string
    4 version       string
    5 resource      string
    6 subresource   string
    7 name          string
    8 fieldSelector *FieldSelectorAttributes
    9 labelSelector *LabelSelectorAttributes
    """,
    _FIELD_SELECTOR,
    _LABEL_SELECTOR,
)
_NON_RESOURCE_ATTRIBUTES = message(
    _AUTHORIZATION + "NonResourceAttributes",
    """
    1 path string
    2 verb string
    """,
)
_ACCESS_STATUS = message(
    _AUTHORIZATION + "SubjectAccessReviewStatus",
    """
    1 allowed         bool always required
    4 denied          bool
    2 reason          string
    3 evaluationError string
    """,
)
_SUBJECT_SPEC = message(
    _AUTHORIZATION + "SubjectAccessReviewSpec",
    """
    1 resourceAttributes    *ResourceAttributes
    2 nonResourceAttributes *NonResourceAttributes
    3 user                  string
    4 groups                []string
    5 extra                 map[]Values
    6 uid                   string
    """,
    _RESOURCE_ATTRIBUTES,
    _NON_RESOURCE_ATTRIBUTES,
)
_SELF_SPEC = message(
    _AUTHORIZATION + "SelfSubjectAccessReviewSpec",
    """
    1 resourceAttributes    *ResourceAttributes
    2 nonResourceAttributes *NonResourceAttributes
    """,
    _RESOURCE_ATTRIBUTES,
    _NON_RESOURCE_ATTRIBUTES,
)
_RESOURCE_RULE = message(
    _AUTHORIZATION + "ResourceRule",
    """
    1 verbs         []string always required
    2 apiGroups     []string
    3 resources     []string
    4 resourceNames []string
    """,
)
_NON_RESOURCE_RULE = message(
    _AUTHORIZATION + "NonResourceRule",
    """
    1 verbs           []string always required
    2 nonResourceURLs []string
    """,
)
_RULES_SPEC = message(_AUTHORIZATION + "SelfSubjectRulesReviewSpec", "1 namespace string")
_RULES_STATUS = message(
    _AUTHORIZATION + "SubjectRulesReviewStatus",
    """
    1 resourceRules    []ResourceRule    always required
    2 nonResourceRules []NonResourceRule always required
    3 incomplete       bool              always required
    4 evaluationError  string
    """,
    _RESOURCE_RULE,
    _NON_RESOURCE_RULE,
)
_USER_INFO = message(
    _AUTHENTICATION + "UserInfo",
    """
    1 username string
    2 uid      string
    3 groups   []string
    4 extra    map[]Values
    """,
)
_TOKEN_SPEC = message(
    _AUTHENTICATION + "TokenReviewSpec",
    """
    1 token     string
    2 audiences []string
    """,
)
_TOKEN_STATUS = message(
    _AUTHENTICATION + "TokenReviewStatus",
    """
    1 authenticated bool
    2 user          UserInfo
    4 audiences     []string
    3 error         string
    """,
    _USER_INFO,
)
_SELF_STATUS = message(_AUTHENTICATION + "SelfSubjectReviewStatus", "1 userInfo UserInfo", _USER_INFO)
_BOUND_OBJECT = message(
    _AUTHENTICATION + "BoundObjectReference",
    """
    1 kind       string
    2 apiVersion string
    3 name       string
    4 uid        string(types.UID)
    """,
)
_REQUEST_SPEC = message(
    _AUTHENTICATION + "TokenRequestSpec",
    """
    1 audiences         []string              always required
    4 expirationSeconds *int64                always
    3 boundObjectRef    *BoundObjectReference always
    5 attestations      map[]Values(v1.AttestationValue)
    """,
    _BOUND_OBJECT,
)
_REQUEST_STATUS = message(
    _AUTHENTICATION + "TokenRequestStatus",
    """
    1 token               string always required
    2 expirationTimestamp Time   always required
    """,
)


def _kind(name: str, spec: Message | None, status: Message, prefix: str) -> Message:
    table = (f"2 spec {spec.name} required\n" if spec else "") + f"{3 if spec else 2} status {status.name}"
    return kind(prefix + name, table, *([spec] if spec else []), status)


TOKEN_REQUEST = _kind("TokenRequest", _REQUEST_SPEC, _REQUEST_STATUS, _AUTHENTICATION)
"""The body of `serviceaccounts/<name>/token`; it is not a resource of its own."""


def _definition(table: Message, *, group: str, namespaced: bool = False) -> ResourceDefinition:
    singular = table.name.lower()
    return ResourceDefinition(
        group=group,
        plural=singular + "s",
        singular=singular,
        kind=table.name,
        list_kind=table.name + "List",
        namespaced=namespaced,
        versions={"v1": Version(name="v1", schema=table.schema, message=table)},
        storage_version="v1",
        verbs=("create",),
        stored=False,
    )


_AUTHORIZATION_GROUP, _AUTHENTICATION_GROUP = "authorization.k8s.io", "authentication.k8s.io"

TOKEN_REVIEWS = _definition(_kind("TokenReview", _TOKEN_SPEC, _TOKEN_STATUS, _AUTHENTICATION), group=_AUTHENTICATION_GROUP)
SELF_SUBJECT_REVIEWS = _definition(
    _kind("SelfSubjectReview", None, _SELF_STATUS, _AUTHENTICATION),
    group=_AUTHENTICATION_GROUP,
)
SUBJECT_ACCESS_REVIEWS = _definition(
    _kind("SubjectAccessReview", _SUBJECT_SPEC, _ACCESS_STATUS, _AUTHORIZATION), group=_AUTHORIZATION_GROUP
)
SELF_SUBJECT_ACCESS_REVIEWS = _definition(
    _kind("SelfSubjectAccessReview", _SELF_SPEC, _ACCESS_STATUS, _AUTHORIZATION), group=_AUTHORIZATION_GROUP
)
LOCAL_SUBJECT_ACCESS_REVIEWS = _definition(
    _kind("LocalSubjectAccessReview", _SUBJECT_SPEC, _ACCESS_STATUS, _AUTHORIZATION), group=_AUTHORIZATION_GROUP, namespaced=True
)
SELF_SUBJECT_RULES_REVIEWS = _definition(
    _kind("SelfSubjectRulesReview", _RULES_SPEC, _RULES_STATUS, _AUTHORIZATION), group=_AUTHORIZATION_GROUP
)
