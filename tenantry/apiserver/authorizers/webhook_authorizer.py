"""An authorizer that asks a webhook: a SubjectAccessReview is sent to it (kube-apiserver's authorizer of type Webhook).

Decisions are synchronous (`apiserver/deferred.py`): what is not in memory is asked before the decision is made again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from tenantry.apiserver.authorization import NO_OPINION, Attributes, Decision, Verdict
from tenantry.apiserver.authorizers.metrics import AuthorizerMetrics
from tenantry.apiserver.authorizers.selector_requirements import field_requirements, label_requirements
from tenantry.apiserver.deferred import Question, SharedWork, answer_to, may_defer
from tenantry.apiserver.review_calls import ReviewCalls, ReviewFailed
from tenantry.apiserver.review_turns import Asker
from tenantry.base.cache import Cache
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.server_configuration.authorization_validation import request_value
from tenantry.kube.server_configuration.expressions import AT_ONCE_LIMIT, Expression, TooCostly

logger = logging.getLogger(__name__)

KEPT_BYTES = 16 << 20
CHOSEN_CHARACTERS_MAX = 10_000
"""A decision is not kept whose question has more characters that the caller chose (kube-apiserver)."""
CLUSTER_NAME_EXTRA = "authorization.kcp.io/cluster-name"
"""The logical cluster of a question, as an extra value of the user (kcp)."""
_LEGACY_CLUSTER_NAME_EXTRA = "authorization.kubernetes.io/cluster-name"
_GROUP = "authorization.k8s.io"
_FOREVER = float("inf")


class WebhookRules(NamedTuple):
    """`on_error`: what is decided where the webhook does not answer. `conditions`: it is asked if all are true. The seconds: how
    long answers are kept."""

    version: str
    on_error: Verdict
    conditions: Sequence[Expression]
    authorized_seconds: float
    unauthorized_seconds: float


class WebhookAuthorizer:
    """`name`: in metrics and logs."""

    def __init__(
        self,
        name: str,
        calls: ReviewCalls,
        rules: WebhookRules,
        metrics: AuthorizerMetrics,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._calls = calls
        self._rules = rules
        self._metrics = metrics
        self._clock = clock
        self._known: Cache[bytes, tuple[float, Decision]] = Cache("authorization_webhook", bytes_max=KEPT_BYTES)
        self._work = SharedWork()
        self._on_error = Decision(rules.on_error)

    def authorize(self, attributes: Attributes) -> Decision:
        """Decides from memory. Raises Question where the webhook has to be asked first and the caller can wait. Another caller
        gets the decision for a webhook that does not answer."""
        spec = spec_of(attributes)
        key = sha256(orjson.dumps(spec)).digest()
        known = self._known.get(key)
        if known is not None and known[0] > self._clock():
            return known[1]
        answered = answer_to((self, key))
        if isinstance(answered, Decision):
            return answered
        excluded = self._excluded(spec)
        if excluded is not None:
            self._keep(key, attributes, excluded, _FOREVER)
            return excluded
        if not may_defer():
            return self._on_error
        raise Question((self, key), lambda: self._asked(key, spec, attributes))

    def _excluded(self, spec: dict[str, Any]) -> Decision | None:
        """The decision where the webhook is not asked; None where it is."""
        if not self._rules.conditions:
            return None
        began = time.perf_counter()
        value, failed, excluded = request_value(spec), False, False
        for condition in self._rules.conditions:
            try:
                if condition.run(value, AT_ONCE_LIMIT) is not True:
                    excluded = True
                    break
            except (CelError, TooCostly) as error:
                failed = True
                text = str(error) or "it costs too much"
                logger.warning(
                    "a match condition of an authorization webhook failed",
                    extra={"authorizer": self.name, "expression": condition.text, "error": text},
                )
        self._metrics.matched(self.name, time.perf_counter() - began, failed=failed, excluded=excluded)
        if excluded:
            return NO_OPINION
        return self._on_error if failed else None

    async def _asked(self, key: bytes, spec: dict[str, Any], attributes: Attributes) -> Decision:
        """The webhook's decision. Of several callers with one question, one asks."""
        found: list[Decision] = []

        async def ask() -> None:
            found.append(await self._reviewed(key, spec, attributes))

        for _ in range(2):
            await self._work.run(key.hex(), ask)
            if found:
                return found[0]
            known = self._known.get(key)
            if known is not None and known[0] > self._clock():
                return known[1]
            # The other caller's answer is not kept, or that caller is gone.
        return await self._reviewed(key, spec, attributes)

    async def _reviewed(self, key: bytes, spec: dict[str, Any], attributes: Attributes) -> Decision:
        asker = Asker((f"cluster {attributes.cluster}", f"user {attributes.user.name}"))
        try:
            status = await self._calls.send("SubjectAccessReview", f"{_GROUP}/{self._rules.version}", spec, asker=asker)
        except ReviewFailed as error:
            logger.error(
                "cannot ask an authorization webhook",
                extra={"authorizer": self.name, "error": str(error), "answer": error.answer},
            )
            if self._rules.on_error is Verdict.NO_OPINION:
                self._metrics.failed_open(self.name, "timeout" if error.timed_out else "error")
            return self._on_error
        allowed, denied = status.get("allowed") is True, status.get("denied") is True
        reason = status.get("reason")
        verdict = Verdict.DENY if denied else Verdict.ALLOW if allowed else Verdict.NO_OPINION
        decision = Decision(verdict, reason if isinstance(reason, str) else "")
        seconds = self._rules.authorized_seconds if allowed else self._rules.unauthorized_seconds
        self._keep(key, attributes, decision, seconds)
        return decision

    def _keep(self, key: bytes, attributes: Attributes, decision: Decision, seconds: float) -> None:
        chosen = sum(map(len, attributes[1:]))
        if seconds > 0 and chosen < CHOSEN_CHARACTERS_MAX:
            self._known.put(key, (self._clock() + seconds, decision))


def spec_of(attributes: Attributes) -> dict[str, Any]:
    """The spec of the SubjectAccessReview, with kcp's extra values for the logical cluster."""
    user = attributes.user
    spec: dict[str, Any] = {}
    if attributes.is_resource:
        named = {
            "namespace": attributes.namespace,
            "verb": attributes.verb,
            "group": attributes.group,
            "version": attributes.version,
            "resource": attributes.resource,
            "subresource": attributes.subresource,
            "name": attributes.name,
        }
        resource: dict[str, Any] = {name: value for name, value in named.items() if value}
        if fields := field_requirements(attributes.field_selector):
            resource["fieldSelector"] = {"requirements": fields}
        if labels := label_requirements(attributes.label_selector):
            resource["labelSelector"] = {"requirements": labels}
        spec["resourceAttributes"] = resource
    else:
        spec["nonResourceAttributes"] = {"path": attributes.path, "verb": attributes.verb}
    spec["user"] = user.name
    if user.groups:
        spec["groups"] = list(user.groups)
    # A caller that sets these itself changes nothing.
    extra = {key: list(values) for key, values in user.extra}
    extra[CLUSTER_NAME_EXTRA] = extra[_LEGACY_CLUSTER_NAME_EXTRA] = [attributes.cluster]
    spec["extra"] = extra
    if user.uid:
        spec["uid"] = user.uid
    return spec
