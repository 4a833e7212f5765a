"""MutatingAdmissionPolicies and their bindings as objects. `tenantry.kube.admission.mutating` evaluates them."""

from __future__ import annotations

from typing import Any

from tenantry.kube.admission.environment import Environment
from tenantry.kube.admission.mutating import APPLY, JSON_PATCH
from tenantry.kube.columns import AGE, NAME, column
from tenantry.kube.definition import Column, ResourceDefinition, Version
from tenantry.kube.field_errors import invalid, not_supported, required, while_few
from tenantry.kube.message_tables import kind, message
from tenantry.kube.objects import Object
from tenantry.kube.schema import cel_objects
from tenantry.kube.schema.cel_types import list_of
from tenantry.kube.status import CAUSES_MAX, FieldError
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
from tenantry.kube.types.policy_bindings import bindings_of
from tenantry.kube.types.validating_admission_policy import param_kind_cell

APPLY_CONFIGURATION = message(REF + "ApplyConfiguration", "1 expression string")
JSON_PATCH_EXPRESSION = message(REF + "JSONPatch", "1 expression string")
MUTATION = message(
    REF + "Mutation",
    """
    2 patchType          string(v1.PatchType) always required
    3 applyConfiguration *ApplyConfiguration
    4 jsonPatch          *JSONPatch
    """,
    APPLY_CONFIGURATION,
    JSON_PATCH_EXPRESSION,
)
SPEC = message(
    REF + "MutatingAdmissionPolicySpec",
    """
    1 paramKind          *ParamKind
    2 matchConstraints   *MatchResources
    3 variables          []Variable
    4 mutations          []Mutation
    5 failurePolicy      *string(v1.FailurePolicyType)
    6 matchConditions    []MatchCondition merge=name map=name
    7 reinvocationPolicy string(v1.ReinvocationPolicyType)
    """,
    PARAM_KIND,
    MATCH_RESOURCES,
    VARIABLE,
    MUTATION,
    MATCH_CONDITION,
)
MESSAGE = kind(REF + "MutatingAdmissionPolicy", "2 spec MutatingAdmissionPolicySpec", SPEC)
BINDING_SPEC = message(
    REF + "MutatingAdmissionPolicyBindingSpec",
    """
    1 policyName     string
    2 paramRef       *ParamRef
    3 matchResources *MatchResources
    """,
    PARAM_REF,
    MATCH_RESOURCES,
)
BINDING_MESSAGE = kind(REF + "MutatingAdmissionPolicyBinding", "2 spec MutatingAdmissionPolicyBindingSpec", BINDING_SPEC)

OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
REINVOCATION_POLICIES = ("IfNeeded", "Never")
PATCH_TYPES = (APPLY, JSON_PATCH)
_RESULTS = {APPLY: (cel_objects.OBJECT,), JSON_PATCH: (list_of(cel_objects.JSON_PATCH),)}
_FIELDS = {APPLY: "applyConfiguration", JSON_PATCH: "jsonPatch"}
_LONG_EXPRESSIONS = 2_000
"""So many characters of expressions are checked on the event loop: a few milliseconds."""


class MutatingAdmissionPolicyStrategy(AdmissionStrategy):
    may_take_long = True

    def takes_long(self, obj: Object, old: Object | None) -> bool:
        spec = obj.get("spec") or {}
        mutations = [each.get(field) for each in spec.get("mutations") or () for field in _FIELDS.values()]
        expressions = [*(spec.get("variables") or ()), *(spec.get("matchConditions") or ()), *mutations]
        return sum(len((each or {}).get("expression") or "") for each in expressions) > _LONG_EXPRESSIONS

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("failurePolicy") is None:
            spec["failurePolicy"] = "Fail"
        default_match_resources(spec.get("matchConstraints"))

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        return _spec_errors(obj.get("spec") or {}, (old.get("spec") or {}) if old is not None else None)


def _spec_errors(spec: Object, before: Object | None) -> list[FieldError]:
    """The errors of a policy. `before`: its spec before an update. Conditions that did not change are not looked at, as
    upstream."""
    errors = failure_policy_errors(spec, "spec")
    param_kind = spec.get("paramKind")
    if param_kind is not None:
        errors += param_kind_errors(param_kind, "spec.paramKind")
    constraints = spec.get("matchConstraints")
    errors += match_constraints_errors(constraints, "spec.matchConstraints")
    errors += _operation_errors(constraints, "spec.matchConstraints")
    conditions = spec.get("matchConditions") or []
    if before is None or before.get("paramKind") != param_kind or (before.get("matchConditions") or []) != conditions:
        errors += match_condition_errors(conditions, "spec.matchConditions", has_params=param_kind is not None)
    variables = spec.get("variables") or []
    environment = Environment(has_params=param_kind is not None, composes=True)
    errors += variable_errors(environment, variables, "spec.variables")
    mutations = spec.get("mutations") or []
    if not mutations:
        errors.append(required("spec.mutations", "mutations must contain at least one item"))
    for index, mutation in while_few(errors, enumerate(mutations)):
        errors += _mutation_errors(environment, mutation, f"spec.mutations[{index}]")
    policy = spec.get("reinvocationPolicy")
    if not policy:
        errors.append(required("spec.reinvocationPolicy"))
    elif policy not in REINVOCATION_POLICIES:
        errors.append(not_supported("spec.reinvocationPolicy", policy, REINVOCATION_POLICIES))
    return errors


def _operation_errors(resources: Object | None, path: str) -> list[FieldError]:
    """Only what is created or updated can be mutated."""
    errors: list[FieldError] = []
    for rule in while_few(errors, (resources or {}).get("resourceRules") or ()):
        place = f"{path}.resourceRules.operations"
        operations = [each for each in rule.get("operations") or () if each not in OPERATIONS]
        errors += [not_supported(place, each, OPERATIONS) for each in operations[:CAUSES_MAX]]
    return errors


def _mutation_errors(environment: Environment, mutation: Object, path: str) -> list[FieldError]:
    patch_type = mutation.get("patchType") or ""
    if not patch_type:
        return [required(f"{path}.patchType")]
    if patch_type not in PATCH_TYPES:
        return [not_supported(f"{path}.patchType", patch_type, PATCH_TYPES)]
    errors: list[FieldError] = []
    field = _FIELDS[patch_type]
    given = mutation.get(field)
    if given is None:
        errors.append(required(f"{path}.{field}", f"must be specified when patchType is {patch_type}"))
    else:
        text = (given.get("expression") or "").strip()
        place = f"{path}.{field}.expression"
        if not text:
            errors.append(required(place))
        else:
            errors += expression_errors(environment, text, _RESULTS[patch_type], place, patch_types=True)
    other = next(name for name in _FIELDS.values() if name != field)
    if mutation.get(other) is not None:
        errors.append(invalid(f"{path}.{other}", f"{{{other}}}", f"must not be specified when patchType is {patch_type}"))
    return errors


class MutatingAdmissionPolicyBindingStrategy(AdmissionStrategy):
    def default(self, obj: Object) -> None:
        default_match_resources((obj.get("spec") or {}).get("matchResources"))

    def validate(self, obj: Object, old: Object | None, subresource: str) -> list[FieldError]:
        spec = obj.get("spec") or {}
        resources = spec.get("matchResources")
        return [
            *policy_name_errors(spec.get("policyName") or "", "spec.policyName"),
            *param_ref_errors(spec.get("paramRef"), "spec.paramRef"),
            *match_resources_errors(resources, "spec.matchResources"),
            *_operation_errors(resources, "spec.matchResources"),
        ]


def _count(policy: Object, now: Any) -> int:
    return len((policy.get("spec") or {}).get("mutations") or ())


POLICIES = ResourceDefinition(
    group=GROUP,
    plural="mutatingadmissionpolicies",
    singular="mutatingadmissionpolicy",
    kind="MutatingAdmissionPolicy",
    list_kind="MutatingAdmissionPolicyList",
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
                    name="Mutations",
                    type="integer",
                    description="Mutation indicates the number of mutations rules defined in this configuration",
                    cell=_count,
                ),
                column(
                    "ParamKind",
                    "ParamKind specifies the kind of resources used to parameterize this policy",
                    param_kind_cell,
                ),
                AGE,
            ),
        )
    },
    storage_version="v1",
    strategy=MutatingAdmissionPolicyStrategy(),
)
BINDINGS = bindings_of("MutatingAdmissionPolicy", MutatingAdmissionPolicyBindingStrategy(), BINDING_MESSAGE)
