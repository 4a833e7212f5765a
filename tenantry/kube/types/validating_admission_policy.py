"""ValidatingAdmissionPolicies and their bindings as objects. `tenantry.kube.admission` evaluates them."""

from __future__ import annotations

from typing import Any

from tenantry.kube.admission.environment import BOOLEAN, TEXT, TEXT_OR_NULL, Environment
from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import Column, ResourceDefinition, Version
from tenantry.kube.field_errors import duplicate, invalid, not_supported, required, while_few
from tenantry.kube.jsonpath import compile_path
from tenantry.kube.message_tables import kind, message
from tenantry.kube.names import qualified_name_errors
from tenantry.kube.objects import Object, name_of
from tenantry.kube.status import FieldError
from tenantry.kube.types.admission_messages import (
    GROUP,
    MATCH_CONDITION,
    MATCH_RESOURCES,
    PARAM_KIND,
    PARAM_REF,
    REF,
    VARIABLE,
    default_match_resources,
)
from tenantry.kube.types.admission_validation import (
    AdmissionStrategy,
    expression_errors,
    failure_policy_errors,
    match_condition_errors,
    match_constraints_errors,
    match_resources_errors,
    param_kind_errors,
    param_ref_errors,
    policy_name_errors,
    variable_errors,
)
from tenantry.kube.types.conditions import CONDITION, condition_errors
from tenantry.kube.types.policy_bindings import bindings_of
from tenantry.kube.types.reset import keep

VALIDATION = message(
    REF + "Validation",
    """
    1 expression        string always required
    2 message           string
    3 reason            *string(v1.StatusReason)
    4 messageExpression string
    """,
)
AUDIT_ANNOTATION = message(
    REF + "AuditAnnotation",
    """
    1 key             string always required
    2 valueExpression string always required
    """,
)
SPEC = message(
    REF + "ValidatingAdmissionPolicySpec",
    """
    1 paramKind        *ParamKind
    2 matchConstraints *MatchResources
    3 validations      []Validation
    4 failurePolicy    *string(v1.FailurePolicyType)
    5 auditAnnotations []AuditAnnotation
    6 matchConditions  []MatchCondition merge=name map=name
    7 variables        []Variable       merge=name map=name
    """,
    PARAM_KIND,
    MATCH_RESOURCES,
    VALIDATION,
    AUDIT_ANNOTATION,
    MATCH_CONDITION,
    VARIABLE,
)
EXPRESSION_WARNING = message(
    REF + "ExpressionWarning",
    """
    2 fieldRef string always required
    3 warning  string always required
    """,
)
TYPE_CHECKING = message(REF + "TypeChecking", "1 expressionWarnings []ExpressionWarning", EXPRESSION_WARNING)
STATUS = message(
    REF + "ValidatingAdmissionPolicyStatus",
    """
    1 observedGeneration int64
    2 typeChecking       *TypeChecking
    3 conditions         []Condition map=type
    """,
    TYPE_CHECKING,
    CONDITION,
)
MESSAGE = kind(
    REF + "ValidatingAdmissionPolicy",
    """
    2 spec   ValidatingAdmissionPolicySpec
    3 status ValidatingAdmissionPolicyStatus
    """,
    SPEC,
    STATUS,
)
BINDING_SPEC = message(
    REF + "ValidatingAdmissionPolicyBindingSpec",
    """
    1 policyName        string required
    2 paramRef          *ParamRef
    3 matchResources    *MatchResources
    4 validationActions []string(v1.ValidationAction) set required
    """,
    PARAM_REF,
    MATCH_RESOURCES,
)
BINDING_MESSAGE = kind(
    REF + "ValidatingAdmissionPolicyBinding", "2 spec ValidatingAdmissionPolicyBindingSpec required", BINDING_SPEC
)

REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
ACTIONS = ("Audit", "Deny", "Warn")
_ANNOTATIONS_MAX = 20
_ANNOTATION_EXPRESSION_MAX = 5 * 1024
_LONG_EXPRESSIONS = 2_000
"""So many characters of expressions are checked on the event loop: a few milliseconds."""


class ValidatingAdmissionPolicyStrategy(AdmissionStrategy):
    may_take_long = True

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        spec = obj.get("spec") or {}
        lists = (
            ("validations", ("expression", "messageExpression")),
            ("variables", ("expression",)),
            ("matchConditions", ("expression",)),
            ("auditAnnotations", ("valueExpression",)),
        )
        size = sum(len(each.get(key) or "") for name, keys in lists for each in spec.get(name) or () for key in keys)
        return size > _LONG_EXPRESSIONS

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("failurePolicy") is None:
            spec["failurePolicy"] = "Fail"
        default_match_resources(spec.get("matchConstraints"))

    def prepare_for_create(self, obj: Object) -> None:
        obj["status"] = {}

    def prepare_for_update(self, obj: Object, old: Object, subresource: str) -> None:
        keep(obj, old, "spec" if subresource == "status" else "status")

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        if subresource == "status":
            return _status_errors(obj.get("status") or {})
        before = (old.get("spec") or {}) if old is not None else None
        return _spec_errors(obj.get("spec") or {}, before, name_of(obj))


def _spec_errors(spec: Object, before: Object | None, name: str) -> list[FieldError]:
    """The errors of a policy. `before`: its spec before an update. Expressions that did not change compile as before, since there
    is one environment; conditions that did not change are not looked at, as upstream."""
    errors = failure_policy_errors(spec, "spec")
    param_kind = spec.get("paramKind")
    if param_kind is not None:
        errors += param_kind_errors(param_kind, "spec.paramKind")
    errors += match_constraints_errors(spec.get("matchConstraints"), "spec.matchConstraints")
    conditions = spec.get("matchConditions") or []
    if before is None or before.get("paramKind") != param_kind or (before.get("matchConditions") or []) != conditions:
        errors += match_condition_errors(conditions, "spec.matchConditions", has_params=param_kind is not None)
    variables = spec.get("variables") or []
    environment = Environment(has_params=param_kind is not None, composes=bool(variables))
    errors += variable_errors(environment, variables, "spec.variables")
    validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
    if not validations and not annotations:
        text = "validations or auditAnnotations must contain at least one item"
        return [*errors, required("spec.validations", text), required("spec.auditAnnotations", text)]
    for index, validation in while_few(errors, enumerate(validations)):
        errors += _validation_errors(environment, validation, f"spec.validations[{index}]")
    return errors + _annotations_errors(environment, annotations, name)


def _validation_errors(environment: Environment, validation: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    text, made = validation.get("expression") or "", validation.get("messageExpression") or ""
    message, reason = validation.get("message") or "", validation.get("reason")
    if not text.strip():
        errors.append(required(f"{path}.expression", "expression is not specified"))
    else:
        errors += expression_errors(environment, text, BOOLEAN, f"{path}.expression")
    if made and not made.strip():
        errors.append(invalid(f"{path}.messageExpression", made, "must be non-empty if specified"))
    elif made:
        errors += expression_errors(environment, made, TEXT, f"{path}.messageExpression", authorizer=False)
    if message and not message.strip():
        errors.append(invalid(f"{path}.message", message, "must be non-empty if specified"))
    elif "\n" in message.strip() or "\r" in message.strip():
        errors.append(invalid(f"{path}.message", message, "must not contain line breaks"))
    if reason is not None and reason not in REASONS:
        errors.append(not_supported(f"{path}.reason", reason, REASONS))
    return errors


def _annotations_errors(environment: Environment, annotations: list[Object], name: str) -> list[FieldError]:
    path = "spec.auditAnnotations"
    errors: list[FieldError] = []
    if len(annotations) > _ANNOTATIONS_MAX:
        text = f"must not have more than {_ANNOTATIONS_MAX} auditAnnotations"
        # As Go prints upstream's internal type.
        shown = [{"Key": each.get("key", ""), "ValueExpression": each.get("valueExpression", "")} for each in annotations]
        errors.append(invalid(path, shown, text))
    known: set[str] = set()
    for index, annotation in while_few(errors, enumerate(annotations)):
        key = annotation.get("key") or ""
        errors += _annotation_errors(environment, annotation, f"{path}[{index}]", name)
        if key in known:
            errors.append(duplicate(f"{path}[{index}].key", key))
        known.add(key)
    return errors


def _annotation_errors(environment: Environment, annotation: Object, path: str, name: str) -> list[FieldError]:
    key, given = annotation.get("key") or "", annotation.get("valueExpression") or ""
    if name:
        whole = f"{name}/{key}"
        errors = [invalid(f"{path}.key", whole, text) for text in qualified_name_errors(whole)]
    else:
        errors = [invalid(f"{path}.key", key, "requires metadata.name be non-empty")]
    text = given.strip()
    if not text:
        errors.append(required(f"{path}.valueExpression", "valueExpression is not specified"))
    elif len(text.encode(errors="surrogatepass")) > _ANNOTATION_EXPRESSION_MAX:
        limit = f"must not exceed {_ANNOTATION_EXPRESSION_MAX} bytes in length"
        errors.append(required(f"{path}.valueExpression", limit))
    else:
        errors += expression_errors(environment, text, TEXT_OR_NULL, f"{path}.valueExpression", shown=given)
    return errors


def _status_errors(status: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    warnings = (status.get("typeChecking") or {}).get("expressionWarnings") or []
    for index, warning in while_few(errors, enumerate(warnings)):
        path = f"status.typeChecking.expressionWarnings[{index}]"
        if not warning.get("warning"):
            errors.append(required(f"{path}.warning"))
        reference = (warning.get("fieldRef") or "").strip()
        if not reference:
            errors.append(required(f"{path}.fieldRef"))
        else:
            try:
                compile_path(f".{reference}")
            except ValueError as error:
                errors.append(invalid(f"{path}.fieldRef", reference, f"invalid JSONPath: {error}"))
    return errors + condition_errors(status.get("conditions") or [], "status.conditions")


class ValidatingAdmissionPolicyBindingStrategy(AdmissionStrategy):
    def default(self, obj: Object) -> None:
        default_match_resources((obj.get("spec") or {}).get("matchResources"))

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        spec = obj.get("spec") or {}
        name, actions = spec.get("policyName") or "", spec.get("validationActions") or []
        # Upstream finds what is missing by declarative validation, which comes last.
        missing = [] if name else [required("spec.policyName")]
        if not actions:
            missing.append(required("spec.validationActions"))
        return [
            *(policy_name_errors(name, "spec.policyName") if name else ()),
            *param_ref_errors(spec.get("paramRef"), "spec.paramRef"),
            *match_resources_errors(spec.get("matchResources"), "spec.matchResources"),
            *_action_errors(actions, "spec.validationActions"),
            *missing,
        ]


def _action_errors(actions: list[Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    known: set[Any] = set()
    for index, action in while_few(errors, enumerate(actions)):
        if action not in ACTIONS:
            errors.append(not_supported(f"{path}[{index}]", action, ACTIONS))
        if action in known:
            errors.append(duplicate(f"{path}[{index}]", action))
        known.add(action)
    if {"Deny", "Warn"} <= known:
        text = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and"
        errors.append(invalid(path, actions, f"{text} headers serves no purpose)"))
    return errors


def param_kind_cell(policy: Object) -> str:
    """The cell of the column ParamKind, for both kinds of policies."""
    found = (policy.get("spec") or {}).get("paramKind")
    return "<unset>" if found is None else f"{found.get('apiVersion', '')}/{found.get('kind', '')}"


POLICIES = ResourceDefinition(
    group=GROUP,
    plural="validatingadmissionpolicies",
    singular="validatingadmissionpolicy",
    kind="ValidatingAdmissionPolicy",
    list_kind="ValidatingAdmissionPolicyList",
    namespaced=False,
    categories=("api-extensions",),
    versions={
        "v1": Version(
            name="v1",
            schema=MESSAGE.schema,
            message=MESSAGE,
            columns=(
                NAME,
                Column(
                    name="Validations",
                    type="integer",
                    description="Validations indicates the number of validation rules defined in this configuration",
                    cell=lambda policy, now: len((policy.get("spec") or {}).get("validations") or ()),
                ),
                column(
                    "ParamKind",
                    "ParamKind specifies the kind of resources used to parameterize this policy",
                    param_kind_cell,
                ),
                AGE,
            ),
            subresources=frozenset({"status"}),
        )
    },
    storage_version="v1",
    strategy=ValidatingAdmissionPolicyStrategy(),
)
BINDINGS = bindings_of("ValidatingAdmissionPolicy", ValidatingAdmissionPolicyBindingStrategy(), BINDING_MESSAGE)
