"""MutatingAdmissionPolicy: policies change the object of a write
(k8s.io/apiserver/pkg/admission/plugin/policy/mutating/dispatcher.go).

Which policies a write meets is decided before any of them changes the object. Then each sees what those before it have made of
it, and in a second round those that want it (reinvocationPolicy) see what others have changed since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from tenantry.apiserver.admission.dynamic import Ask, Reinvocation
from tenantry.apiserver.admission.review import Review
from tenantry.kube.admission.evaluation import Allowance, Inputs
from tenantry.kube.admission.forms import SCALE_FORM, AnyForm, form_of
from tenantry.kube.admission.mutating import Mutated, MutatingPolicy, mutate, policy_of
from tenantry.kube.admission.mutation_values import Growth
from tenantry.kube.go_text import quote
from tenantry.kube.objects import Object, with_own_containers
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.schema.default import default
from tenantry.kube.status import CAUSES_MAX, TEXT_CHARACTERS, Cause, StatusError, cut, forbidden
from tenantry.tenancy.admission.configurations import AdmissionConfigurations
from tenantry.tenancy.admission.policies.converted import Conversions
from tenantry.tenancy.admission.policies.facts import Facts
from tenantry.tenancy.admission.policies.invocations import Invocation, Written, invocations, namespace_of
from tenantry.tenancy.admission.policies.other_version import OtherVersion, other_version
from tenantry.tenancy.admission.policies.parameters import Parameters
from tenantry.tenancy.admission.policies.policy_index import ClusterPolicies, PolicyHook, PolicyIndex
from tenantry.tenancy.admission.policies.policy_metrics import MUTATING
from tenantry.tenancy.admission.policies.policy_runner import PolicyRunner, name_in_denial, shown_to_policies
from tenantry.tenancy.admission.shared_facts import SharedFacts
from tenantry.tenancy.resources import MUTATING_ADMISSION_POLICIES, MUTATING_ADMISSION_POLICY_BINDINGS

_NAME = "MutatingAdmissionPolicy"
_AT_ONCE_VALUES = 1_000
"""Objects with more values are mutated in a thread: each mutation copies the object."""
_CHARACTERS_OF_A_VALUE = 64
_MUTATION_COST, _VALUE_COST = 300, 10
"""What a mutation takes of the allowance, and for each value of the object that it copies."""

Hooks = Sequence[PolicyHook[MutatingPolicy]]
_Key = tuple[str, str, str, str]
"""A policy, its binding, and the namespace and name of its parameter."""


class _Memory:
    """What the policies of a write remember for its second round. `changes`: how often the object was changed when they ended."""

    __slots__ = ("again", "changes", "invoked")

    def __init__(self) -> None:
        self.invoked: set[_Key] = set()
        self.again: set[_Key] = set()
        self.changes = 0

    def invoke_again(self) -> None:
        """Something was changed: those that were invoked before, and want it, are invoked in the second round."""
        self.again |= self.invoked
        self.invoked = set()


class MutatingPolicyAdmission:
    def __init__(self, runner: PolicyRunner[MutatingPolicy]) -> None:
        self._runner = runner

    def mutating(self, review: Review, rounds: Reinvocation) -> Ask | None:
        """Raises StatusError where a policy fails."""
        if review.object is None:
            return None
        return self._runner.run(review, lambda policies, hooks, facts: _Evaluation(review, rounds, policies, hooks, facts))

    def validating(self, review: Review) -> Ask | None:
        return None


class _Failure(NamedTuple):
    """A policy that could not be evaluated, or a mutation that failed. `reason`: of the answer, if it is the first one."""

    text: str
    reason: str


class _Evaluation:
    """The mutations of one write, in one round."""

    def __init__(
        self,
        review: Review,
        rounds: Reinvocation,
        policies: ClusterPolicies[MutatingPolicy],
        hooks: Hooks,
        facts: Facts,
    ) -> None:
        self._review = review
        self._rounds = rounds
        self._policies = policies
        self._hooks = hooks
        self._facts = facts
        shown, old = shown_to_policies(review)
        self._written = Written(review.request, shown, old)
        self._conversions = Conversions(review, self._written.request, shown, old, facts)
        self._object = shown or {}
        self._met: list[Invocation[MutatingPolicy]] | None = None
        self._next = 0
        self._growth = Growth()
        self._failures: list[_Failure] = []
        self._mutated_there: list[Object] = []
        self._is_changed = False
        self._is_dirty = False
        self._memory: _Memory = rounds.values.setdefault(_NAME, _Memory())
        if rounds.again and rounds.changes != self._memory.changes:
            self._memory.invoke_again()

    def run(self, allowance: Allowance) -> None:
        if self._met is None:
            self._met = [*self._invocations(allowance)]
        while self._next < len(self._met):
            self._invoke(self._met[self._next], allowance)
            self._next += 1

    def _invocations(self, allowance: Allowance) -> Iterator[Invocation[MutatingPolicy]]:
        failures: list[_Failure] = []
        for each in invocations(self._policies, self._hooks, self._written, self._facts, allowance):
            if not each.error:
                yield each
            elif not each.hook.ignores_failures:
                failures.append(_Failure(_denied(each, each.error), ""))
        self._failures = failures

    def _invoke(self, invocation: Invocation[MutatingPolicy], allowance: Allowance) -> None:
        key, memory, policy = _key(invocation), self._memory, invocation.hook.policy
        if self._rounds.again and key not in memory.again:
            return
        size = size_of(self._object, _AT_ONCE_VALUES if allowance.at_once else None)
        allowance.spend((_MUTATION_COST + _VALUE_COST * size) * len(policy.mutations))
        # An invocation that ends in the middle is made once more.
        growth = self._growth.again(at_once=allowance.at_once)
        made = self._mutated(invocation, growth, allowance)
        self._growth = growth
        self._note(invocation, made)
        if made.object != self._object:
            self._object, self._is_changed = made.object, True
            memory.invoke_again()
        if made.attempts:
            # As upstream, the last policy decides.
            self._is_dirty = any(not attempt.error for attempt in made.attempts)
        if policy.reinvoked and made.attempts:
            memory.invoked.add(key)

    def _mutated(self, invocation: Invocation[MutatingPolicy], growth: Growth, allowance: Allowance) -> Mutated:
        review, matched = self._review, invocation.matched
        seen = self._conversions.to(matched, at_once=allowance.at_once)
        other = other_version(review, matched)
        obj = self._object if other is None else self._there(other)
        form = _form(review, None if other is None else other.form)
        inputs = Inputs(
            object=obj,
            old_object=seen.old_object,
            request=seen.request,
            params=invocation.params,
            namespace=partial(namespace_of, self._written.request, self._facts),
            answers=self._facts,
        )
        made = mutate(invocation.hook.policy, obj, form, inputs, allowance, growth)
        if other is None:
            return made
        return made._replace(object=self._object if made.object == obj else self._back(other, made.object))

    def _there(self, other: OtherVersion) -> Object:
        """The object in another version."""
        if other.definition.conversion is None:
            return other.there(self._object)
        made = self._conversions.by_webhook(self._object, self._review.version.name, other.version.name)
        assert made is not None
        return made

    def _back(self, other: OtherVersion, obj: Object) -> Object:
        """What mutations have made of it, in the version of the request."""
        if other.definition.conversion is None:
            return other.back(obj)
        # The mutations are evaluated again where this has to be asked, so that it is another object with the same content.
        known = next((each for each in self._mutated_there if each == obj), None)
        if known is None:
            self._mutated_there.append(known := obj)
        made = self._conversions.by_webhook(known, other.version.name, self._review.version.name)
        assert made is not None
        whole: Object = with_own_containers(made)
        # As readers of what is stored see it.
        default(whole, self._review.version.schema)
        return whole

    def _note(self, invocation: Invocation[MutatingPolicy], made: Mutated) -> None:
        for attempt in made.attempts:
            MUTATING.observe((attempt.error_type,), attempt.seconds)
        if not invocation.hook.ignores_failures:
            errors = [made.error, *(attempt.error for attempt in made.attempts)]
            failed = [_Failure(_denied(invocation, error), "Invalid") for error in errors if error]
            self._failures += failed[: CAUSES_MAX - len(self._failures)]

    def conclude(self) -> None:
        rounds, review = self._rounds, self._review
        if self._is_dirty:
            self._memory.invoke_again()
            rounds.wanted = True
        if self._failures:
            raise _denial(review, self._failures)
        if self._is_changed:
            _form(review, None).finish(self._object)
            review.take(self._object)
            rounds.changes += 1
            rounds.wanted = True
        self._memory.changes = rounds.changes


def size_of(obj: Object, largest: int | None) -> int:
    """The number of values in an object; long texts count as several. Raises LoopBudgetExceeded where there are more than
    `largest`."""
    size = 0
    waiting: list[Any] = [obj]
    while waiting:
        each = waiting.pop()
        inner = each.values() if isinstance(each, dict) else each
        size += len(inner)
        for item in inner:
            if isinstance(item, dict | list):
                waiting.append(item)
            elif isinstance(item, str):
                size += len(item) // _CHARACTERS_OF_A_VALUE
        if largest is not None and size > largest:
            raise LoopBudgetExceeded
    return size


def _form(review: Review, other: AnyForm | None) -> AnyForm:
    if review.form is not None:
        return SCALE_FORM
    return form_of(review.definition, review.version) if other is None else other


def _key(invocation: Invocation[MutatingPolicy]) -> _Key:
    assert invocation.binding is not None
    metadata: dict[str, Any] = (invocation.params or {}).get("metadata") or {}
    return invocation.hook.name, invocation.binding.name, metadata.get("namespace") or "", metadata.get("name") or ""


def _denied(invocation: Invocation[MutatingPolicy], error: str) -> str:
    if invocation.binding is None:
        return f"policy {quote(invocation.hook.name)} denied request: {error}"
    return f"policy '{invocation.hook.name}' with binding '{invocation.binding.name}' denied request: {error}"


def _denial(review: Review, failures: Sequence[_Failure]) -> StatusError:
    first = failures[0]
    causes = [Cause("", failure.text) for failure in failures[:CAUSES_MAX]]
    error = forbidden(review.definition.group_resource, name_in_denial(review), "", causes=causes)
    error.message = cut(first.text, TEXT_CHARACTERS)
    error.reason = first.reason or error.reason
    return error


def mutating_policies(
    *, facts: SharedFacts, parameters: Parameters, configurations: AdmissionConfigurations
) -> MutatingPolicyAdmission:
    """The admission of a shard."""
    index = PolicyIndex(
        "mutating_admission_policies",
        configurations=configurations,
        policies=MUTATING_ADMISSION_POLICIES,
        bindings=MUTATING_ADMISSION_POLICY_BINDINGS,
        compile=policy_of,
    )
    return MutatingPolicyAdmission(PolicyRunner(facts=facts, index=index, parameters=parameters))
