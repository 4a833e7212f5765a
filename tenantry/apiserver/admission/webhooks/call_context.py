"""What the calls of webhooks need: shared by the mutating and the validating side."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.admission.webhooks.caller import CallFailed, Sent, WebhookCaller
from tenantry.apiserver.admission.webhooks.matching import ReviewFacts, ReviewMatcher, meets_conditions
from tenantry.apiserver.admission.webhooks.metrics import ADMIT, CALLING_ERROR, NO_ERROR, WebhookMetrics
from tenantry.apiserver.admission.webhooks.review_document import (
    AdmissionResponse,
    denial,
    encode_review,
    request_values,
)
from tenantry.apiserver.admission.webhooks.services import Services
from tenantry.apiserver.admission.webhooks.webhook import Webhook, WebhookSet
from tenantry.apiserver.conversion.converter import Converter
from tenantry.apiserver.worker_threads import is_light, workers
from tenantry.http.outgoing import OutgoingCalls
from tenantry.http.reachable_networks import ReachableNetworks
from tenantry.kube.admission_matching import MatchedResource
from tenantry.kube.objects import Object
from tenantry.kube.status import StatusError, bad_request, internal, new_uid, request_timed_out, too_many_requests

logger = logging.getLogger(__name__)

CALLED_MAX = 100
"""The most webhooks that are called about one write. Kubernetes has no such limit."""
ANNOTATION_BYTES_MAX = 10 << 10
_ANNOTATIONS_MAX = 200
_WARNINGS_MAX = 100
_READ_ATTEMPTS = 8


class WebhooksNotRead(Exception):
    """The configurations of a cluster are too large to be read on the event loop. `read` reads them."""

    def __init__(self, read: Callable[[], Any]) -> None:
        super().__init__()
        self.read = read


class WebhookIndex(Protocol):
    """Finds the webhooks that may be asked about a write."""

    def find(self, review: Review, *, mutating: bool) -> WebhookSet | None:
        """The webhooks of the logical cluster whose webhooks are asked; None: it has none. Raises WebhooksNotRead."""
        ...


class WebhookCalls:
    """The calls of webhooks by a process. `close` when it ends."""

    def __init__(self, *, networks: ReachableNetworks, services: Services) -> None:
        self.outgoing = OutgoingCalls(networks)
        self.caller = WebhookCaller(self.outgoing, services)
        self.metrics = WebhookMetrics()
        self.converter = Converter(self.caller)

    def close(self) -> None:
        self.converter.close()
        self.outgoing.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """`facts`: for selectors of namespaces, and match conditions."""

    index: WebhookIndex
    calls: WebhookCalls
    facts: ReviewFacts

    async def read(self, review: Review, *, mutating: bool) -> WebhookSet | None:
        """As `index.find`, however long it takes."""
        for _ in range(_READ_ATTEMPTS):
            try:
                return self.index.find(review, mutating=mutating)
            except WebhooksNotRead as needed:
                read = needed.read
            await read()
        raise too_many_requests("the webhook configurations change faster than they can be read, try again")

    async def meets_conditions(
        self, webhook: Webhook, matcher: ReviewMatcher, review: Review, matched: MatchedResource, deadline: float
    ) -> bool:
        if not webhook.conditions:
            return True
        values, objects = request_values(review, matcher.request, matched), await matcher.objects(matched, deadline)
        return await meets_conditions(webhook, review, values, objects, self.facts, matcher.allowance)

    async def call(
        self,
        webhook: Webhook,
        encoded: Encoded,
        review: Review,
        *,
        kind: str,
        owner: str,
        deadline: float,
        failed_open: str,
    ) -> AdmissionResponse | None:
        """Calls a webhook. None where the call failed and that is ignored. `failed_open`: the audit annotation that says so.

        Raises StatusError where the webhook denies the request, and where the call failed.
        """
        loop = asyncio.get_running_loop()
        if review.dry_run and not webhook.allows_dry_run:
            raise bad_request(f'admission webhook "{webhook.name}" does not support dry run')
        metrics, operation, began = self.calls.metrics, review.operation, loop.time()
        try:
            if not webhook.review_version:
                known = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
                raise CallFailed(f"could not create admission objects: {known}", 400)
            uid = new_uid()
            version = webhook.review_version
            body = encoded.body(version, uid) if encoded.is_light else await encoded.body_in_thread(version, uid)
            sent = Sent(uid, body, kind == ADMIT)
            response = await self.calls.caller.call(webhook, sent, owner=owner, deadline=deadline)
        except CallFailed as failure:
            rejected = not webhook.ignores_failures
            metrics.called(webhook.name, kind, operation, loop.time() - began, code=failure.code, rejected=rejected)
            text = f'failed calling webhook "{webhook.name}": {failure}'
            if rejected:
                metrics.rejected(webhook.name, kind, operation, CALLING_ERROR, failure.code)
                raise internal(text) from None
            metrics.failed_open(webhook.name, kind)
            annotate(review, failed_open, webhook.name)
            if loop.time() >= deadline:
                raise request_timed_out() from None
            return None
        for key, value in response.annotations.items():
            annotate(review, f"{webhook.name}/{key}", value)
        warn(review, response.warnings)
        if response.allowed:
            metrics.called(webhook.name, kind, operation, loop.time() - began, code=200, rejected=False)
            return response
        code = denial(webhook.name, response.status).code
        metrics.called(webhook.name, kind, operation, loop.time() - began, code=code, rejected=True)
        metrics.rejected(webhook.name, kind, operation, NO_ERROR, code)
        raise denial(webhook.name, response.status)


class Encoded:
    """The review of a write in one kind. `shared`: it is encoded once for several webhooks."""

    __slots__ = ("_fragments", "_objects", "_owner", "_shared", "_values", "is_light")

    def __init__(
        self, review: Review, values: Object, objects: tuple[Object | None, Object | None], owner: str, *, shared: bool
    ) -> None:
        self._values = values
        self._objects = objects
        self._owner = owner
        self._shared = shared
        self.is_light = is_light(review.weight)
        """Whether it may be encoded on the event loop."""
        self._fragments: tuple[Any, Any] | None = None

    async def body_in_thread(self, version: str, uid: str) -> bytes:
        return await workers.run(self._owner, lambda: self.body(version, uid))

    def body(self, version: str, uid: str) -> bytes:
        if not self._shared:
            return encode_review(version, uid, self._values, *self._objects)
        if self._fragments is None:
            obj, old = (None if each is None else orjson.Fragment(orjson.dumps(each)) for each in self._objects)
            self._fragments = obj, old
        return encode_review(version, uid, self._values, *self._fragments)


def too_many(count: int) -> StatusError:
    return internal(f"{count} admission webhooks match this request, and at most {CALLED_MAX} are called")


def annotate(review: Review, key: str, value: str) -> None:
    """Adds an annotation for the audit log; the first of a key stays, as upstream."""
    annotations = review.audit_annotations
    if key not in annotations and len(annotations) < _ANNOTATIONS_MAX and len(key) + len(value) <= ANNOTATION_BYTES_MAX:
        annotations[key] = value


def annotate_json(review: Review, key: str, value: Mapping[str, Any]) -> None:
    annotate(review, key, json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def warn(review: Review, texts: list[str]) -> None:
    """Adds warnings. Those that no header can have are left out, as upstream."""
    for text in texts[:_WARNINGS_MAX]:
        if text and text.isprintable() and len(review.warnings) < _WARNINGS_MAX:
            review.warnings.append(text)
