"""Admission webhooks as dynamic admission."""

from __future__ import annotations

from tenantry.apiserver.admission.dynamic import Ask, Reinvocation
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.admission.webhooks.call_context import CallContext
from tenantry.apiserver.admission.webhooks.mutating import MutatingWebhooks
from tenantry.apiserver.admission.webhooks.validating import ValidatingWebhooks
from tenantry.kube.admission_matching import is_exempt


class WebhookAdmission:
    """Must be the last of a chain's dynamic admission: policies are asked before webhooks."""

    def __init__(self, context: CallContext) -> None:
        self._mutating = MutatingWebhooks(context)
        self._validating = ValidatingWebhooks(context)

    def mutating(self, review: Review, rounds: Reinvocation) -> Ask | None:
        return None if is_exempt(review.definition) else self._mutating.ask(review, rounds)

    def validating(self, review: Review) -> Ask | None:
        return None if is_exempt(review.definition) else self._validating.ask(review)
