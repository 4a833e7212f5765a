"""Validating webhooks, all at the same time (k8s.io/apiserver/pkg/admission/plugin/webhook/validating/dispatcher.go)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy

from tenantry.apiserver.admission.dynamic import Ask
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.admission.webhooks.call_context import (
    CALLED_MAX,
    CallContext,
    Encoded,
    WebhooksNotRead,
    too_many,
)
from tenantry.apiserver.admission.webhooks.matching import ReviewMatcher, is_short
from tenantry.apiserver.admission.webhooks.metrics import VALIDATING
from tenantry.apiserver.admission.webhooks.review_document import request_values
from tenantry.apiserver.admission.webhooks.webhook import Webhook, WebhookSet
from tenantry.base.tasks import awaited
from tenantry.kube.admission_matching import MatchedResource
from tenantry.kube.status import StatusError

_AT_A_TIME = 16
"""So many webhooks of a write are called at the same time; each has a connection of its own."""
_FAILED_OPEN = "failed-open.validating.webhook.admission.k8s.io/"


class ValidatingWebhooks:
    """The validating part of `WebhookAdmission`."""

    def __init__(self, context: CallContext) -> None:
        self._context = context

    def ask(self, review: Review) -> Ask | None:
        """None where no webhook is to be called."""
        try:
            found = self._context.index.find(review, mutating=False)
        except WebhooksNotRead:
            return Ask(lambda deadline: self._read_and_call(review, deadline))
        if found is None:
            return None
        webhooks = found.about(review.definition.plural)
        if not webhooks:
            return None
        if not is_short(webhooks):
            return Ask(lambda deadline: self._match_and_call(review, found, webhooks, deadline))
        matcher = ReviewMatcher(review, self._context.facts)
        matches = [(webhook, matched) for webhook in webhooks if (matched := matcher.match(webhook)) is not None]
        if not matches:
            return None
        return Ask(lambda deadline: self._call(review, matcher, found, matches, deadline))

    async def _read_and_call(self, review: Review, deadline: float) -> None:
        await self._context.read(review, mutating=False)
        ask = self.ask(review)
        if ask is not None:
            await ask.call(deadline)

    async def _match_and_call(self, review: Review, found: WebhookSet, webhooks: Sequence[Webhook], deadline: float) -> None:
        matcher = ReviewMatcher(review, self._context.facts)
        matches = [(webhooks[index], matched) for index, matched in await matcher.match_each(webhooks)]
        if len(matches) > CALLED_MAX:
            raise too_many(len(matches))
        await self._call(review, matcher, found, matches, deadline)

    async def _call(
        self,
        review: Review,
        matcher: ReviewMatcher,
        found: WebhookSet,
        matches: Sequence[tuple[Webhook, MatchedResource]],
        deadline: float,
    ) -> None:
        called = [
            (webhook, matched)
            for webhook, matched in matches
            if not webhook.conditions or await self._context.meets_conditions(webhook, matcher, review, matched, deadline)
        ]
        owner = found.cluster
        encoded: dict[MatchedResource, Encoded] = {}
        errors: list[StatusError] = []

        async def call(index: int, webhook: Webhook, matched: MatchedResource) -> None:
            try:
                body = encoded.get(matched)
                if body is None:
                    values = request_values(review, matcher.request, matched)
                    objects = matcher.own_objects(matched) or await matcher.objects(matched, deadline)
                    body = encoded[matched] = Encoded(review, values, objects, owner, shared=len(called) > 1)
                await self._context.call(
                    webhook,
                    body,
                    review,
                    kind=VALIDATING,
                    owner=owner,
                    deadline=deadline,
                    failed_open=f"{_FAILED_OPEN}round_0_index_{index}",
                )
            except StatusError as error:
                errors.append(error)

        if len(called) == 1:
            await call(0, *called[0])
        else:
            turns = asyncio.Semaphore(_AT_A_TIME)

            async def in_turn(index: int, webhook: Webhook, matched: MatchedResource) -> None:
                async with turns:
                    await call(index, webhook, matched)

            tasks = [
                awaited(in_turn(index, webhook, matched), name=f"webhook-{index}")
                for index, (webhook, matched) in enumerate(called)
            ]
            try:
                for task in tasks:
                    await task
            finally:
                for task in tasks:
                    task.cancel()
        if errors:
            # Upstream answers the first one that it gets.
            raise copy(errors[0])
