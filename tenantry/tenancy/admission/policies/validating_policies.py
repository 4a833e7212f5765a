"""ValidatingAdmissionPolicy: policies decide about the final object of a write
(k8s.io/apiserver/pkg/admission/plugin/policy/validating/dispatcher.go).

Most writes are decided at once, on the event loop, from memory. Where the expressions take longer than they may there, the same
evaluation goes on in a thread, and the loop gives it the facts that it asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import orjson

from tenantry.apiserver.admission.dynamic import Ask, Reinvocation
from tenantry.apiserver.admission.review import Review
from tenantry.kube.admission.evaluation import Allowance, Inputs
from tenantry.kube.admission.validating import (
    ANNOTATION_BYTES_MAX,
    ERROR,
    Decision,
    Result,
    ValidatingPolicy,
    policy_of,
    validate,
)
from tenantry.kube.objects import Object
from tenantry.kube.status import TEXT_CHARACTERS, Cause, StatusError, cut, forbidden
from tenantry.tenancy.admission.configurations import AdmissionConfigurations
from tenantry.tenancy.admission.policies.converted import Conversions
from tenantry.tenancy.admission.policies.facts import Facts
from tenantry.tenancy.admission.policies.invocations import Invocation, Written, invocations, namespace_of
from tenantry.tenancy.admission.policies.parameters import Parameters
from tenantry.tenancy.admission.policies.policy_index import ClusterPolicies, PolicyHook, PolicyIndex
from tenantry.tenancy.admission.policies.policy_metrics import VALIDATING, error_type
from tenantry.tenancy.admission.policies.policy_runner import PolicyRunner, name_in_denial, shown_to_policies
from tenantry.tenancy.admission.shared_facts import SharedFacts
from tenantry.tenancy.resources import VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS

_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
_FAILURES_KEY = "validation.policy.admission.k8s.io/validation_failure"
_FAILURES_MAX = 50
_WARNINGS_MAX = 100
_INVOCATION_COST = 30
"""What an invocation takes of the allowance beside its expressions: about 15 µs."""
_ANNOTATIONS_BYTES_MAX = 256 << 10
"""The most bytes of audit annotations of one write."""

Hooks = Sequence[PolicyHook[ValidatingPolicy]]


class _Outcome(NamedTuple):
    invocation: Invocation[ValidatingPolicy]
    result: Result


class ValidatingPolicyAdmission:
    def __init__(self, runner: PolicyRunner[ValidatingPolicy]) -> None:
        self._runner = runner

    def mutating(self, review: Review, rounds: Reinvocation) -> Ask | None:
        return None

    def validating(self, review: Review) -> Ask | None:
        """Raises StatusError where a policy denies the write."""
        return self._runner.run(review, lambda policies, hooks, facts: _Evaluation(review, policies, hooks, facts))


class _Evaluation:
    """The decisions of the policies of one write."""

    def __init__(self, review: Review, policies: ClusterPolicies[ValidatingPolicy], hooks: Hooks, facts: Facts) -> None:
        shown, old = shown_to_policies(review)
        self._review = review
        self._facts = facts
        self._outcomes: list[_Outcome] = []
        self._policies = policies
        self._hooks = hooks
        self._written = Written(review.request, shown, old)
        self._conversions = Conversions(review, self._written.request, shown, old, facts)

    def run(self, allowance: Allowance) -> None:
        done = len(self._outcomes)
        for place, invocation in enumerate(invocations(self._policies, self._hooks, self._written, self._facts, allowance)):
            if place >= done:
                self._outcomes.append(_Outcome(invocation, self._result(invocation, allowance)))

    def _result(self, invocation: Invocation[ValidatingPolicy], allowance: Allowance) -> Result:
        allowance.spend(_INVOCATION_COST)
        if invocation.error:
            return Result() if invocation.hook.ignores_failures else Result((Decision(ERROR, True, invocation.error),))
        converted = self._conversions.to(invocation.matched, at_once=allowance.at_once)
        inputs = Inputs(
            object=converted.object,
            old_object=converted.old_object,
            request=converted.request,
            params=invocation.params,
            namespace=partial(namespace_of, self._written.request, self._facts),
            answers=self._facts,
        )
        return validate(invocation.hook.policy, inputs, allowance)

    def conclude(self) -> None:
        for invocation, result in self._outcomes:
            if result is not invocation.hook.policy.admits:
                _conclude(self._review, self._outcomes)
                return


# What follows from the decisions ---------------------------------------------------------------------------------------


def _conclude(review: Review, outcomes: Sequence[_Outcome]) -> None:
    """Warns and annotates. Raises the StatusError of the first decision that denies the write."""
    denied: list[tuple[Invocation[ValidatingPolicy], Decision]] = []
    failures: list[Object] = []
    annotations: dict[str, dict[str, None]] = {}
    for invocation, result in outcomes:
        if invocation.error:
            denied += ((invocation, decision) for decision in result.decisions)
            continue
        for place, decision in enumerate(result.decisions):
            if not decision.denies:
                if decision.evaluation == ERROR:
                    VALIDATING.observe((error_type(decision.message), "allow"), decision.seconds)
                continue
            _enforce(review, invocation, place, decision, denied, failures)
        for published in result.annotations:
            if published.error:
                decision = Decision(ERROR, True, published.error, "", published.seconds)
                denied.append((invocation, decision))
                VALIDATING.observe((error_type(decision.message), "deny"), decision.seconds)
            else:
                key = f"{invocation.hook.name}/{published.key}"
                annotations.setdefault(key, {})[_cut(published.value)] = None
    _annotate(review, annotations, failures)
    if denied:
        raise _denial(review, *denied[0])


def _enforce(
    review: Review,
    invocation: Invocation[ValidatingPolicy],
    place: int,
    decision: Decision,
    denied: list[tuple[Invocation[ValidatingPolicy], Decision]],
    failures: list[Object],
) -> None:
    assert invocation.binding is not None
    policy, binding = invocation.hook.name, invocation.binding.name
    for action in invocation.binding.actions:
        if action == "Deny":
            denied.append((invocation, decision))
        elif action == "Audit":
            if len(failures) >= _FAILURES_MAX:
                continue
            failures.append(
                {
                    "message": cut(decision.message, TEXT_CHARACTERS),
                    "policy": policy,
                    "binding": binding,
                    "expressionIndex": place,
                    "validationActions": list(invocation.binding.actions),
                }
            )
        elif len(review.warnings) < _WARNINGS_MAX:
            what = f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}'"
            review.warnings.append(f"{what}: {cut(decision.message, TEXT_CHARACTERS)}")
        failed = error_type(decision.message) if decision.evaluation == ERROR else "no_error"
        VALIDATING.observe((failed, action.lower()), decision.seconds)


def _annotate(review: Review, annotations: dict[str, dict[str, None]], failures: Sequence[Object]) -> None:
    left = _ANNOTATIONS_BYTES_MAX
    if failures:
        review.audit_annotations[_FAILURES_KEY] = orjson.dumps(failures).decode()
    for key, values in annotations.items():
        value = ", ".join(values)
        left -= len(value)
        if left >= 0:
            review.audit_annotations[key] = value


def _cut(value: str) -> str:
    raw = value.encode(errors="replace")
    return value if len(raw) <= ANNOTATION_BYTES_MAX else raw[:ANNOTATION_BYTES_MAX].decode(errors="ignore")


def _denial(review: Review, invocation: Invocation[ValidatingPolicy], decision: Decision) -> StatusError:
    of_binding = f" with binding '{invocation.binding.name}'" if invocation.binding is not None else ""
    text = (
        f"ValidatingAdmissionPolicy '{invocation.hook.name}'{of_binding} denied request: {cut(decision.message, TEXT_CHARACTERS)}"
    )
    error = forbidden(review.definition.group_resource, name_in_denial(review), text, causes=[Cause("", text, "")])
    error.reason = decision.reason or "Invalid"
    error.code = _CODES.get(error.reason, 422)
    return error


def validating_policies(
    *, facts: SharedFacts, parameters: Parameters, configurations: AdmissionConfigurations
) -> ValidatingPolicyAdmission:
    """The admission of a shard."""
    index = PolicyIndex(
        "validating_admission_policies",
        configurations=configurations,
        policies=VALIDATING_ADMISSION_POLICIES,
        bindings=VALIDATING_ADMISSION_POLICY_BINDINGS,
        compile=policy_of,
    )
    return ValidatingPolicyAdmission(PolicyRunner(facts=facts, index=index, parameters=parameters))
