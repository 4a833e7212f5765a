"""ValidatingAdmissionPolicy: policies decide about the final object of a write
(k8s.io/apiserver/pkg/admission/plugin/policy/validating/dispatcher.go).

Most writes are decided at once, on the event loop, from memory. Where the expressions take longer than they may there, the same
evaluation goes on in a thread, and the loop gives it the facts that it asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from tenantry.apiserver.admission.dynamic import Ask, Reinvocation
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.authorization import Authorizer
from tenantry.apiserver.deferred import decided
from tenantry.apiserver.verbs.metadata import remove_cluster
from tenantry.apiserver.worker_threads import workers
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
from tenantry.kube.admission_matching import is_exempt_from_policies
from tenantry.kube.objects import Object
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.schema.cel_library.authorizer import Question
from tenantry.kube.status import Cause, StatusError, forbidden
from tenantry.storage.cell import Cell
from tenantry.tenancy.admission.policies.converted import Conversions
from tenantry.tenancy.admission.policies.facts import Facts, TooManyFacts, Unknown
from tenantry.tenancy.admission.policies.invocations import Invocation, NamespaceNeed, Written, invocations
from tenantry.tenancy.admission.policies.parameters import Parameters, ParamKind, Params
from tenantry.tenancy.admission.policies.policy_index import ClusterPolicies, NotRead, PolicyHook, PolicyIndex
from tenantry.tenancy.admission.policies.policy_metrics import METRICS
from tenantry.tenancy.admission.policies.questions import answer
from tenantry.tenancy.admission.policies.seen_request import namespace_object
from tenantry.tenancy.cluster_apis import ClusterApis
from tenantry.tenancy.local_ranges import LocalRanges
from tenantry.tenancy.resources import VALIDATING_ADMISSION_POLICIES, VALIDATING_ADMISSION_POLICY_BINDINGS

_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}
_FAILURES_KEY = "validation.policy.admission.k8s.io/validation_failure"
_FAILURES_MAX = 50
_ANNOTATIONS_BYTES_MAX = 256 << 10
"""The most bytes of audit annotations of one write."""

Hooks = Sequence[PolicyHook[ValidatingPolicy]]


class _Outcome(NamedTuple):
    invocation: Invocation[ValidatingPolicy]
    result: Result


class ValidatingPolicyAdmission:
    """`home`: the logical cluster whose policies apply to a write, which is that of the provider for a bound type."""

    def __init__(
        self,
        *,
        cell: Cell,
        authorizer: Authorizer,
        index: PolicyIndex[ValidatingPolicy],
        parameters: Parameters,
        home: Callable[[Review], str],
    ) -> None:
        self._cell = cell
        self._authorizer = authorizer
        self._index = index
        self._parameters = parameters
        self._home = home

    def mutating(self, review: Review, rounds: Reinvocation) -> Ask | None:
        return None

    def validating(self, review: Review) -> Ask | None:
        """Raises StatusError where a policy denies the write."""
        if is_exempt_from_policies(review.definition):
            return None
        cluster = self._home(review)
        try:
            policies = self._index.of(cluster)
        except NotRead as unread:
            return self._read_first(review, cluster, unread)
        if policies is None:
            return None
        hooks = policies.about(review.definition)
        return self._evaluate(review, policies, hooks) if hooks else None

    def _read_first(self, review: Review, cluster: str, unread: NotRead) -> Ask:
        async def call(deadline: float) -> None:
            policies: ClusterPolicies[ValidatingPolicy] = await workers.run(review.cluster, unread.read)
            unread.keep(policies)
            ask = self._evaluate(review, policies, policies.about(review.definition))
            if ask is not None:
                await ask.call(deadline)

        return Ask(call)

    def _evaluate(self, review: Review, policies: ClusterPolicies[ValidatingPolicy], hooks: Hooks) -> Ask | None:
        evaluation = _Evaluation(review, policies, hooks, Facts(lambda need: self._fact(review, need)))
        try:
            evaluation.run(Allowance(at_once=True))
        except LoopBudgetExceeded:
            return self._in_thread(review, evaluation)
        _conclude(review, evaluation.outcomes)
        return None

    def _in_thread(self, review: Review, evaluation: _Evaluation) -> Ask:
        facts = evaluation.facts
        allowance = Allowance(at_once=False)

        async def call(deadline: float) -> None:
            facts.is_on_loop = False
            while (need := await workers.run(review.cluster, lambda: evaluation.run_or_need(allowance))) is not None:
                found = await self._slow_fact(review, need)
                try:
                    facts.put(need, found)
                except TooManyFacts as error:
                    raise forbidden(review.definition.group_resource, review.name, str(error)) from None
            _conclude(review, evaluation.outcomes)

        return Ask(call)

    def _fact(self, review: Review, need: Any) -> Any:
        match need:
            case Question():
                return answer(need, self._authorizer, review.user, review.cluster)
            case NamespaceNeed(name):
                return namespace_object(self._cell.range_of(review.cluster), review.cluster, name)
            case ParamKind():
                return self._parameters.is_namespaced(need)
            case Params():
                return self._parameters.find(need)
        raise TypeError(f"no fact: {need!r}")

    async def _slow_fact(self, review: Review, need: Any) -> Any:
        if isinstance(need, Params):
            return await self._parameters.find_all(need)
        return await decided(lambda: self._fact(review, need))


class _Evaluation:
    """The evaluation of the policies of one write. It may be run several times, and goes on where it ended."""

    def __init__(self, review: Review, policies: ClusterPolicies[ValidatingPolicy], hooks: Hooks, facts: Facts) -> None:
        shown, old = _shown(review.shown()), _shown(review.shown_old())
        self.facts = facts
        self.outcomes: list[_Outcome] = []
        self._policies = policies
        self._hooks = hooks
        self._written = Written(review.request, shown, old)
        self._conversions = Conversions(review, shown, old)

    def run_or_need(self, allowance: Allowance) -> Any:
        """As `run`. Returns the fact that is needed first; None at the end."""
        try:
            self.run(allowance)
        except Unknown as unknown:
            return unknown.need
        return None

    def run(self, allowance: Allowance) -> None:
        """Raises LoopBudgetExceeded, and Unknown in a thread."""
        done = len(self.outcomes)
        for place, invocation in enumerate(invocations(self._policies, self._hooks, self._written, self.facts, allowance)):
            if place >= done:
                self.outcomes.append(_Outcome(invocation, self._result(invocation, allowance)))

    def _result(self, invocation: Invocation[ValidatingPolicy], allowance: Allowance) -> Result:
        if invocation.error:
            return Result() if invocation.hook.ignores_failures else Result((Decision(ERROR, True, invocation.error),))
        request = self._written.request
        namespace = None if request.is_namespace or not request.namespace else self.facts.get(NamespaceNeed(request.namespace))
        converted = self._conversions.to(invocation.matched, at_once=allowance.at_once)
        inputs = Inputs(
            object=converted.object,
            old_object=converted.old_object,
            request=converted.request,
            params=invocation.params,
            namespace=namespace,
            answers=self.facts,
        )
        return validate(invocation.hook.policy, inputs, allowance)


def _shown(obj: Object | None) -> Object | None:
    """Policies see no annotation that users may not set, as in Kubernetes."""
    if obj is not None:
        remove_cluster(obj)
    return obj


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
                    METRICS.observe(decision.message, failed=True, action="allow", seconds=decision.seconds)
                continue
            _enforce(review, invocation, place, decision, denied, failures)
        for published in result.annotations:
            if published.error:
                decision = Decision(ERROR, True, published.error, "", published.seconds)
                denied.append((invocation, decision))
                METRICS.observe(decision.message, failed=True, action="deny", seconds=decision.seconds)
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
            failures.append(
                {
                    "message": decision.message,
                    "policy": policy,
                    "binding": binding,
                    "expressionIndex": place,
                    "validationActions": list(invocation.binding.actions),
                }
            )
        else:
            what = f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}'"
            review.warnings.append(f"{what}: {decision.message}")
        METRICS.observe(decision.message, failed=decision.evaluation == ERROR, action=action.lower(), seconds=decision.seconds)


def _annotate(review: Review, annotations: dict[str, dict[str, None]], failures: Sequence[Object]) -> None:
    left = _ANNOTATIONS_BYTES_MAX
    if failures:
        review.audit_annotations[_FAILURES_KEY] = orjson.dumps(failures[:_FAILURES_MAX]).decode()
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
    text = f"ValidatingAdmissionPolicy '{invocation.hook.name}'{of_binding} denied request: {decision.message}"
    error = forbidden(review.definition.group_resource, _name_of(review), text, causes=[Cause("", text, "")])
    error.reason = decision.reason or "Invalid"
    error.code = _CODES.get(error.reason, 422)
    return error


def _name_of(review: Review) -> str:
    """The name in the error, as upstream extracts it."""
    if review.named and review.name:
        return review.name
    metadata = (review.object or {}).get("metadata") or {}
    return metadata.get("name") or metadata.get("generateName") or "Unknown"


def validating_policies(
    *, cell: Cell, authorizer: Authorizer, apis: ClusterApis, local_ranges: LocalRanges
) -> ValidatingPolicyAdmission:
    """The admission of a shard."""
    index = PolicyIndex(
        "validating_admission_policies",
        cell=cell,
        local_ranges=local_ranges,
        policies=VALIDATING_ADMISSION_POLICIES,
        bindings=VALIDATING_ADMISSION_POLICY_BINDINGS,
        compile=policy_of,
    )
    return ValidatingPolicyAdmission(
        cell=cell,
        authorizer=authorizer,
        index=index,
        parameters=Parameters(cell, apis),
        home=lambda review: review.cluster,
    )
