"""Evaluates the policies that a write meets: at once on the event loop, or in a thread where that takes too long.

In a thread, a fact that is not known yet ends the evaluation. The loop finds the fact, and the evaluation goes on where it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from tenantry.apiserver.admission.dynamic import Ask
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.deferred import decided
from tenantry.apiserver.worker_threads import workers
from tenantry.kube.admission.evaluation import Allowance
from tenantry.kube.admission_matching import is_exempt_from_policies
from tenantry.kube.objects import Object
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.schema.cel_library.authorizer import Question
from tenantry.kube.status import forbidden, request_timed_out
from tenantry.tenancy.admission.policies.converted import ConversionNeed
from tenantry.tenancy.admission.policies.facts import Facts, TooManyFacts, Unknown
from tenantry.tenancy.admission.policies.invocations import NamespaceNeed
from tenantry.tenancy.admission.policies.parameters import Parameters, ParamKind, Params
from tenantry.tenancy.admission.policies.policy_index import ClusterPolicies, NotRead, PolicyHook, PolicyIndex
from tenantry.tenancy.admission.shared_facts import SharedFacts

P = TypeVar("P")


class Evaluation(Protocol):
    """The evaluation of the policies of one write. It may be run several times, and goes on where it ended."""

    def run(self, allowance: Allowance) -> None:
        """Raises LoopBudgetExceeded, Unknown in a thread, and StatusError."""
        ...

    def conclude(self) -> None:
        """What follows, on the loop. Raises the StatusError of a policy that denies the write."""
        ...


Begin = Callable[[ClusterPolicies[P], Sequence[PolicyHook[P]], Facts], Evaluation]


class PolicyRunner(Generic[P]):
    def __init__(
        self,
        *,
        facts: SharedFacts,
        index: PolicyIndex[P],
        parameters: Parameters,
    ) -> None:
        self._facts = facts
        self._index = index
        self._parameters = parameters

    def run(self, review: Review, begin: Begin[P]) -> Ask | None:
        """Evaluates the policies about the type of a write, if there are some. `begin` makes the evaluation. Raises
        StatusError."""
        if is_exempt_from_policies(review.definition):
            return None
        try:
            policies = self._index.of(review.home)
        except NotRead as unread:
            return self._read_first(review, begin, unread)
        return None if policies is None else self._evaluate(review, begin, policies)

    def _read_first(self, review: Review, begin: Begin[P], unread: NotRead) -> Ask:
        async def call(deadline: float) -> None:
            policies: ClusterPolicies[P] = await workers.run(review.cluster, unread.read)
            unread.keep(policies)
            ask = self._evaluate(review, begin, policies)
            if ask is not None:
                await ask.call(deadline)

        return Ask(call)

    def _evaluate(self, review: Review, begin: Begin[P], policies: ClusterPolicies[P]) -> Ask | None:
        hooks = policies.about(review.definition)
        if not hooks:
            return None
        facts = Facts(lambda need: self._fact(review, need))
        evaluation = begin(policies, hooks, facts)
        try:
            evaluation.run(Allowance(at_once=True))
        except LoopBudgetExceeded:
            return self._in_thread(review, evaluation, facts)
        evaluation.conclude()
        return None

    def _in_thread(self, review: Review, evaluation: Evaluation, facts: Facts) -> Ask:
        allowance = Allowance(at_once=False)

        async def call(deadline: float) -> None:
            facts.is_on_loop = False
            try:
                async with asyncio.timeout_at(deadline):
                    await self._go_on(review, evaluation, facts, allowance, deadline)
            except TimeoutError:
                raise request_timed_out() from None
            evaluation.conclude()

        return Ask(call)

    async def _go_on(self, review: Review, evaluation: Evaluation, facts: Facts, allowance: Allowance, deadline: float) -> None:
        while (need := await workers.run(review.cluster, lambda: _need(evaluation, allowance))) is not None:
            found = await self._slow_fact(review, need, deadline)
            try:
                facts.put(need, found)
            except TooManyFacts as error:
                raise forbidden(review.definition.group_resource, review.name, str(error)) from None

    def _fact(self, review: Review, need: Any) -> Any:
        match need:
            case Question():
                return self._facts.answer(review, need)
            case NamespaceNeed(name):
                return self._facts.namespace(review, name)
            case ParamKind():
                return self._parameters.is_namespaced(need)
            case Params():
                return self._parameters.find(need)
            case ConversionNeed():
                # Its webhook is asked.
                raise LoopBudgetExceeded
        raise TypeError(f"no fact: {need!r}")

    async def _slow_fact(self, review: Review, need: Any, deadline: float) -> Any:
        if isinstance(need, ConversionNeed):
            converter, definition = review.scope.converter, review.definition
            return await converter.object(need.obj, definition, need.target, owner=review.cluster, deadline=deadline)
        if isinstance(need, Params):
            return await self._parameters.find_all(need)
        if isinstance(need, ParamKind):
            return await self._parameters.is_served_namespaced(need)
        return await decided(lambda: self._fact(review, need))


def _need(evaluation: Evaluation, allowance: Allowance) -> Any:
    """Runs an evaluation. Returns the fact that is needed first; None at the end."""
    try:
        evaluation.run(allowance)
    except Unknown as unknown:
        return unknown.need
    return None


def shown_to_policies(review: Review) -> tuple[Object | None, Object | None]:
    """The new and the old object of a write. Policies see no annotation that users may not set, as in Kubernetes."""
    return review.shown(names_cluster=False), review.shown_old(names_cluster=False)


def name_in_denial(review: Review) -> str:
    """The name of the object in the error of a denial, as upstream extracts it."""
    if review.named and review.name:
        return review.name
    metadata = (review.object or {}).get("metadata") or {}
    # A name that was generated is not known yet.
    name = metadata.get("name") if review.named else ""
    return name or metadata.get("generateName") or "Unknown"
