"""The messages that several kinds of admissionregistration.k8s.io have."""

from __future__ import annotations

from tenantry.kube.message_tables import LABEL_SELECTOR, message
from tenantry.kube.objects import Object

GROUP = "admissionregistration.k8s.io"
REF = "io.k8s.api.admissionregistration.v1."

RULE = message(
    REF + "Rule",
    """
    1 apiGroups   []string
    2 apiVersions []string
    3 resources   []string
    4 scope       *string(v1.ScopeType)
    """,
)
RULE_WITH_OPERATIONS = message(
    REF + "RuleWithOperations",
    """
    1 operations []string(v1.OperationType)
    2 rule       Rule inline
    """,
    RULE,
)
NAMED_RULE_WITH_OPERATIONS = message(
    REF + "NamedRuleWithOperations",
    """
    1 resourceNames      []string
    2 ruleWithOperations RuleWithOperations inline
    """,
    RULE_WITH_OPERATIONS,
    atomic=True,
)
MATCH_RESOURCES = message(
    REF + "MatchResources",
    """
    1 namespaceSelector    *LabelSelector
    2 objectSelector       *LabelSelector
    3 resourceRules        []NamedRuleWithOperations
    4 excludeResourceRules []NamedRuleWithOperations
    7 matchPolicy          *string(v1.MatchPolicyType)
    """,
    LABEL_SELECTOR,
    NAMED_RULE_WITH_OPERATIONS,
    atomic=True,
)
MATCH_CONDITION = message(
    REF + "MatchCondition",
    """
    1 name       string always required
    2 expression string always required
    """,
)
PARAM_KIND = message(
    REF + "ParamKind",
    """
    1 apiVersion string
    2 kind       string
    """,
    atomic=True,
)
PARAM_REF = message(
    REF + "ParamRef",
    """
    1 name                    string
    2 namespace               string
    3 selector                *LabelSelector
    4 parameterNotFoundAction *string(v1.ParameterNotFoundActionType)
    """,
    LABEL_SELECTOR,
    atomic=True,
)
VARIABLE = message(
    REF + "Variable",
    """
    1 name       string always required
    2 expression string always required
    """,
    atomic=True,
)


def default_match_resources(resources: Object | None) -> None:
    """Fills in the defaults of a MatchResources, and of its rules."""
    if resources is None:
        return
    resources.setdefault("matchPolicy", "Equivalent")
    resources.setdefault("namespaceSelector", {})
    resources.setdefault("objectSelector", {})
    for rule in (*(resources.get("resourceRules") or ()), *(resources.get("excludeResourceRules") or ())):
        rule.setdefault("scope", "*")
