"""Which webhooks are asked about a write: rules, selectors, conditions; and the object in the version that each of them wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from tenantry.apiserver.admission.conversion import convert, sharing
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.admission.webhooks.webhook import Webhook
from tenantry.apiserver.decoding import normalise
from tenantry.apiserver.deferred import Deferred, at_once, decided
from tenantry.apiserver.worker_threads import workers
from tenantry.kube.admission.conditions import Matched, match
from tenantry.kube.admission.evaluation import Allowance, Inputs, KnownAnswers, Unanswered
from tenantry.kube.admission_matching import AdmissionRequest, Labels, MatchedResource, NamespaceMissing
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.schema.cel import LoopBudgetExceeded
from tenantry.kube.schema.cel_library.authorizer import Answer, Answers, Question
from tenantry.kube.status import forbidden, not_found

_ANSWERS_MAX = 64
"""The most questions to the authorizer of the conditions of one webhook in a thread. Each costs another evaluation."""


class ReviewFacts(Protocol):
    """What webhooks may know of the logical cluster in which an object is written."""

    def namespace_labels(self, review: Review, name: str, /) -> Labels | None:
        """The labels of a namespace; None where it does not exist."""
        ...

    def answer(self, review: Review, question: Question, /) -> Answer:
        """What the authorizer answers. May raise Deferred."""
        ...


AT_ONCE = 64
"""So many webhooks may be matched on the event loop for a write."""
_WEIGHT_AT_ONCE = 500
"""The most comparisons that this may take: a millisecond."""


def is_short(webhooks: Sequence[Webhook]) -> bool:
    """Whether these webhooks may be matched on the event loop."""
    if len(webhooks) == 1:
        return webhooks[0].weight <= _WEIGHT_AT_ONCE
    return len(webhooks) <= AT_ONCE and sum(webhook.weight for webhook in webhooks) <= _WEIGHT_AT_ONCE


class ReviewMatcher:
    """Matches webhooks with one review as it is now. `allowance`: what all match conditions may still cost, on the event loop and
    then in a thread."""

    __slots__ = ("_converted", "_facts", "_labels", "_review", "allowance", "obj", "old", "request")

    def __init__(self, review: Review, facts: ReviewFacts, allowance: Allowance | None = None) -> None:
        self._facts = facts
        self.allowance = allowance or Allowance(at_once=True)
        self._review = review
        self.request: AdmissionRequest = review.request
        self.obj = review.shown()
        self.old = review.shown_old()
        self._labels: dict[str, Labels | None] = {}
        self._converted: dict[MatchedResource, tuple[Object | None, Object | None]] = {}

    def match(self, webhook: Webhook) -> MatchedResource | None:
        """The resource in which a webhook is asked, by rules and selectors. Raises StatusError 404 for a missing namespace."""
        try:
            return webhook.matcher.match(self.request, self.obj, self.old, self._labels_of)
        except NamespaceMissing as error:
            raise not_found(GroupResource("", "namespaces"), str(error)) from None

    async def match_each(self, webhooks: Sequence[Webhook], begin: int = 0) -> Sequence[tuple[int, MatchedResource]]:
        """The places of those that `match`, from `begin` on. Many are matched in a thread."""
        if is_short(webhooks):
            return self._match_each(webhooks, begin)
        with suppress(NamespaceMissing):
            # Memory is read on the event loop.
            self._labels_of(self.request.namespace)
        return await workers.run(self._review.cluster, lambda: self._match_each(webhooks, begin))

    def _match_each(self, webhooks: Sequence[Webhook], begin: int) -> Sequence[tuple[int, MatchedResource]]:
        found = ((index, self.match(webhooks[index])) for index in range(begin, len(webhooks)))
        return [(index, matched) for index, matched in found if matched is not None]

    def own_objects(self, matched: MatchedResource) -> tuple[Object | None, Object | None] | None:
        """As `objects`, where these are as they were written; None where they are to be converted."""
        return (self.obj, self.old) if matched.kind == self.request.matched.kind else None

    async def objects(self, matched: MatchedResource, deadline: float) -> tuple[Object | None, Object | None]:
        """The object and the old object in the kind of a match. Raises StatusError where a webhook has to convert them, and does
        not."""
        found = self.own_objects(matched) or self._converted.get(matched)
        if found is None:
            if self._review.definition.conversion is not None:
                found = (
                    await converted(self._review, self.obj, matched, deadline),
                    await converted(self._review, self.old, matched, deadline),
                )
            else:
                own = self.request.matched
                definition = self._review.definition
                found = tuple_of(convert(each, definition, own, matched) for each in (self.obj, self.old))
            self._converted[matched] = found
        return found

    def _labels_of(self, namespace: str) -> Labels:
        if namespace not in self._labels:
            self._labels[namespace] = self._facts.namespace_labels(self._review, namespace)
        known = self._labels[namespace]
        if known is None:
            raise NamespaceMissing(namespace)
        return known


async def converted(review: Review, obj: Object | None, matched: MatchedResource, deadline: float) -> Object | None:
    """An object of the review in the version of a match, by the webhook of its type. Raises StatusError."""
    if obj is None:
        return None
    converter, version = review.scope.converter, matched.kind.version
    return await converter.object(obj, review.definition, version, owner=review.cluster, deadline=deadline)


def tuple_of(pair: Any) -> tuple[Object | None, Object | None]:
    first, second = pair
    return first, second


class _LoopAnswers:
    def __init__(self, review: Review, facts: ReviewFacts) -> None:
        self._review = review
        self._facts = facts

    def answer(self, question: Question) -> Answer:
        try:
            return at_once(self._facts.answer, self._review, question)
        except Deferred:
            raise LoopBudgetExceeded from None


async def meets_conditions(
    webhook: Webhook,
    review: Review,
    values: Mapping[str, Any],
    objects: tuple[Object | None, Object | None],
    facts: ReviewFacts,
    allowance: Allowance,
) -> bool:
    """Whether the match conditions of a webhook hold. Raises StatusError 403 where they fail and the webhook does not ignore
    failures."""
    if not webhook.conditions:
        return True

    def inputs(answers: Answers) -> Inputs:
        return Inputs(object=objects[0], old_object=objects[1], request=values, params=None, namespace=None, answers=answers)

    try:
        found = match(webhook.conditions, inputs(_LoopAnswers(review, facts)), allowance, {})
    except LoopBudgetExceeded:
        found = await _matched_in_thread(webhook, review, inputs, facts, allowance.later)
    if found.error and not webhook.ignores_failures:
        name = review.name if review.named else ""
        raise forbidden(review.definition.group_resource, name, found.error)
    return found.matches


async def _matched_in_thread(
    webhook: Webhook, review: Review, inputs: Callable[[Answers], Inputs], facts: ReviewFacts, allowance: Allowance
) -> Matched:
    known = KnownAnswers()
    for _ in range(_ANSWERS_MAX):
        try:
            return await workers.run(review.cluster, lambda: match(webhook.conditions, inputs(known), allowance, {}))
        except Unanswered as missing:
            question = missing.question
        known.known[question] = await decided(partial(facts.answer, review, question))
    raise forbidden(review.definition.group_resource, review.name, "the conditions ask the authorizer too often")


def normalised(obj: Object, definition: ResourceDefinition, matched: MatchedResource) -> None:
    """Brings what a webhook has made of an object into the form of its version, in place. Raises Mismatch."""
    other = sharing(definition, matched)
    # Upstream drops nulls where it decodes a request, and here it adds defaults alone.
    normalise(other, other.versions[matched.resource.version], obj, keeps_nulls=True)
