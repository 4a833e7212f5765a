"""ValidatingWebhookConfigurations and MutatingWebhookConfigurations as objects. `tenantry.apiserver.admission.webhooks` calls the
webhooks that they name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tenantry.kube.columns import AGE, NAME
from tenantry.kube.definition import Column, ResourceDefinition, Version
from tenantry.kube.field_errors import duplicate, invalid, not_supported, required, while_few
from tenantry.kube.label_selector_validation import label_selector_errors
from tenantry.kube.message_tables import LABEL_SELECTOR, kind, message
from tenantry.kube.names import dns1035_label_errors, dns1123_subdomain_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.types.admission_messages import GROUP, MATCH_CONDITION, REF, RULE_WITH_OPERATIONS
from tenantry.kube.types.admission_validation import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    AdmissionStrategy,
    match_condition_errors,
    rule_with_operations_errors,
)
from tenantry.kube.types.webhook_client_validation import client_errors

SERVICE_REFERENCE = message(
    REF + "ServiceReference",
    """
    1 namespace string always required
    2 name      string always required
    3 path      *string
    4 port      *int32
    """,
)
CLIENT_CONFIG = message(
    REF + "WebhookClientConfig",
    """
    3 url      *string
    1 service  *ServiceReference
    2 caBundle bytes
    """,
    SERVICE_REFERENCE,
)
_COMMON = """
    1 name                    string               always required
    2 clientConfig            WebhookClientConfig  required
    3 rules                   []RuleWithOperations
    4 failurePolicy           *string(v1.FailurePolicyType)
    9 matchPolicy             *string(v1.MatchPolicyType)
    5 namespaceSelector       *LabelSelector
    6 sideEffects             *string(v1.SideEffectClass) always required
    7 timeoutSeconds          *int32
    8 admissionReviewVersions []string             always required
"""
_USED = (CLIENT_CONFIG, RULE_WITH_OPERATIONS, LABEL_SELECTOR, MATCH_CONDITION)
VALIDATING_WEBHOOK = message(
    REF + "ValidatingWebhook",
    _COMMON.rstrip()
    + """
    10 objectSelector  *LabelSelector
    11 matchConditions []MatchCondition merge=name map=name
    """,
    *_USED,
)
MUTATING_WEBHOOK = message(
    REF + "MutatingWebhook",
    _COMMON.rstrip()
    + """
    11 objectSelector     *LabelSelector
    10 reinvocationPolicy *string(v1.ReinvocationPolicyType)
    12 matchConditions    []MatchCondition merge=name map=name
    """,
    *_USED,
)
_WEBHOOKS = "2 webhooks []{} merge=name map=name"
VALIDATING_MESSAGE = kind(REF + "ValidatingWebhookConfiguration", _WEBHOOKS.format("ValidatingWebhook"), VALIDATING_WEBHOOK)
MUTATING_MESSAGE = kind(REF + "MutatingWebhookConfiguration", _WEBHOOKS.format("MutatingWebhook"), MUTATING_WEBHOOK)

REVIEW_VERSIONS = ("v1", "v1beta1")
"""The versions of AdmissionReview that are sent."""
REINVOCATION_POLICIES = ("IfNeeded", "Never")
SIDE_EFFECTS = ("None", "NoneOnDryRun")
OLD_SIDE_EFFECTS = ("None", "NoneOnDryRun", "Some", "Unknown")
DEFAULT_TIMEOUT_SECONDS = 10
DEFAULT_PORT = 443
_TIMEOUT_MAX = 30
_LONG_EXPRESSIONS = 2_000
"""So many characters of expressions are checked on the event loop: a few milliseconds."""
_NOT_ASKED_ABOUT = {
    "authentication.k8s.io": ("selfsubjectreviews", "tokenreviews"),
    "authorization.k8s.io": (
        "localsubjectaccessreviews",
        "selfsubjectaccessreviews",
        "selfsubjectrulesreviews",
        "subjectaccessreviews",
    ),
}


class WebhookConfigurationStrategy(AdmissionStrategy):
    may_take_long = True

    def __init__(self, *, mutating: bool) -> None:
        self._mutating = mutating

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        size = 0
        for webhook in obj.get("webhooks") or ():
            size += 200 + sum(len(each.get("expression") or "") for each in webhook.get("matchConditions") or ())
        return size > _LONG_EXPRESSIONS

    def default(self, obj: Object) -> None:
        for webhook in obj.get("webhooks") or ():
            _default(webhook, "failurePolicy", "Fail")
            _default(webhook, "matchPolicy", "Equivalent")
            _default(webhook, "namespaceSelector", {})
            _default(webhook, "objectSelector", {})
            _default(webhook, "timeoutSeconds", DEFAULT_TIMEOUT_SECONDS)
            if self._mutating:
                _default(webhook, "reinvocationPolicy", "Never")
            for rule in webhook.get("rules") or ():
                _default(rule, "scope", "*")
            service = (webhook.get("clientConfig") or {}).get("service")
            if service is not None:
                _default(service, "port", DEFAULT_PORT)

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        webhooks: Sequence[Object] = obj.get("webhooks") or ()
        before: Sequence[Object] | None = (old.get("webhooks") or ()) if old is not None else None
        side_effects = SIDE_EFFECTS if _all(before, _has_no_side_effects) else OLD_SIDE_EFFECTS
        known_version = _all(before, _has_known_version)
        unique = before is None or len({each.get("name") for each in before}) == len(before)
        conditions_before = None if before is None else [each.get("matchConditions") or [] for each in before]
        same_conditions = conditions_before == [each.get("matchConditions") or [] for each in webhooks]
        errors: list[FieldError] = []
        names: set[str] = set()
        for index, webhook in while_few(errors, enumerate(webhooks)):
            path = f"webhooks[{index}]"
            errors += self._webhook_errors(webhook, path, side_effects)
            if not same_conditions:
                errors += match_condition_errors(webhook.get("matchConditions") or (), f"{path}.matchConditions")
            errors += _version_errors(webhook.get("admissionReviewVersions") or [], path, known=known_version)
            name = webhook.get("name") or ""
            if unique and name in names:
                errors.append(duplicate(f"{path}.name", name))
            if name:
                names.add(name)
        return errors

    def warnings(self, obj: Object, old: Object | None) -> list[str]:
        warnings = []
        for index, webhook in enumerate(obj.get("webhooks") or ()):
            for number, rule in enumerate(webhook.get("rules") or ()):
                warnings += [
                    f"webhooks[{index}].rules[{number}]: {resource}.{group} is excluded from admission webhooks; this rule will "
                    "have no effect"
                    for group, resource in _without_effect(rule)
                ]
        return warnings

    def _webhook_errors(self, webhook: Object, path: str, side_effects: Sequence[str]) -> list[FieldError]:
        errors = _name_errors(webhook.get("name") or "", f"{path}.name")
        for index, rule in while_few(errors, enumerate(webhook.get("rules") or ())):
            errors += rule_with_operations_errors(rule, f"{path}.rules[{index}]")
        errors += _choice(webhook, "failurePolicy", FAILURE_POLICIES, path)
        errors += _choice(webhook, "matchPolicy", MATCH_POLICIES, path)
        if webhook.get("sideEffects") is None:
            errors.append(required(f"{path}.sideEffects", f"must specify one of {', '.join(side_effects)}"))
        errors += _choice(webhook, "sideEffects", side_effects, path)
        timeout = webhook.get("timeoutSeconds")
        if timeout is not None and not 1 <= timeout <= _TIMEOUT_MAX:
            text = f"the timeout value must be between 1 and {_TIMEOUT_MAX} seconds"
            errors.append(invalid(f"{path}.timeoutSeconds", timeout, text))
        for field in ("namespaceSelector", "objectSelector"):
            if webhook.get(field) is not None:
                errors += label_selector_errors(webhook[field], f"{path}.{field}")
        if self._mutating:
            errors += _choice(webhook, "reinvocationPolicy", REINVOCATION_POLICIES, path)
        return errors + client_errors(webhook.get("clientConfig") or {}, f"{path}.clientConfig")


def _default(obj: Object, field: str, value: Any) -> None:
    if obj.get(field) is None:
        obj[field] = value


def _all(webhooks: Sequence[Object] | None, meets: Any) -> bool:
    """Whether a rule holds for what is stored already: if it does not, updates need not obey it."""
    return webhooks is None or all(meets(webhook) for webhook in webhooks)


def _has_no_side_effects(webhook: Object) -> bool:
    return webhook.get("sideEffects") in SIDE_EFFECTS


def _has_known_version(webhook: Object) -> bool:
    return any(version in REVIEW_VERSIONS for version in webhook.get("admissionReviewVersions") or ())


def _choice(webhook: Object, field: str, allowed: Sequence[str], path: str) -> list[FieldError]:
    value = webhook.get(field)
    return [] if value is None or value in allowed else [not_supported(f"{path}.{field}", value, allowed)]


def _name_errors(name: str, path: str) -> list[FieldError]:
    if not name:
        return [required(path)]
    if errors := dns1123_subdomain_errors(name):
        return [invalid(path, name, ",".join(errors))]
    if name.count(".") < 2:
        return [invalid(path, name, "should be a domain with at least three segments separated by dots")]
    return []


def _version_errors(versions: Sequence[str], path: str, *, known: bool) -> list[FieldError]:
    path = f"{path}.admissionReviewVersions"
    if not versions:
        return [required(path, f"must specify one of {', '.join(REVIEW_VERSIONS)}")]
    errors: list[FieldError] = []
    seen: set[str] = set()
    for index, version in while_few(errors, enumerate(versions)):
        if version in seen:
            errors.append(invalid(f"{path}[{index}]", version, "duplicate version"))
            continue
        seen.add(version)
        errors += [invalid(f"{path}[{index}]", version, text) for text in dns1035_label_errors(version)]
    if known and seen.isdisjoint(REVIEW_VERSIONS):
        errors.append(invalid(path, list(versions), f"must include at least one of {', '.join(REVIEW_VERSIONS)}"))
    return errors


def _without_effect(rule: Object) -> Iterable[tuple[str, str]]:
    """The access reviews that a rule names: webhooks are not asked about them."""
    groups, resources = rule.get("apiGroups") or (), rule.get("resources") or ()
    if "*" in groups or "*" in resources:
        return ()
    found = ((group, resource) for group in groups for resource in resources if resource in _NOT_ASKED_ABOUT.get(group, ()))
    return dict.fromkeys(found)


def _definition(plural: str, name: str, *, mutating: bool) -> ResourceDefinition:
    table = MUTATING_MESSAGE if mutating else VALIDATING_MESSAGE
    return ResourceDefinition(
        group=GROUP,
        plural=plural,
        singular=plural.removesuffix("s"),
        kind=name,
        list_kind=f"{name}List",
        namespaced=False,
        categories=("api-extensions",),
        versions={
            "v1": Version(
                name="v1",
                schema=table.schema,
                message=table,
                columns=(
                    NAME,
                    Column(
                        name="Webhooks",
                        type="integer",
                        description="Webhooks indicates the number of webhooks registered in this configuration",
                        cell=lambda obj, now: len(obj.get("webhooks") or ()),
                    ),
                    AGE,
                ),
            )
        },
        storage_version="v1",
        strategy=WebhookConfigurationStrategy(mutating=mutating),
    )


VALIDATING = _definition("validatingwebhookconfigurations", "ValidatingWebhookConfiguration", mutating=False)
MUTATING = _definition("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", mutating=True)
