"""Mutating webhooks, one after the other (k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/dispatcher.go)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import orjson

from tenantry.apiserver.admission.conversion import convert
from tenantry.apiserver.admission.dynamic import Ask, Reinvocation
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.admission.webhooks.call_context import (
    CALLED_MAX,
    CallContext,
    Encoded,
    WebhooksNotRead,
    annotate_json,
    too_many,
)
from tenantry.apiserver.admission.webhooks.matching import ReviewMatcher, converted, is_short, normalised
from tenantry.apiserver.admission.webhooks.metrics import ADMIT, INTERNAL_ERROR
from tenantry.apiserver.admission.webhooks.review_document import request_values
from tenantry.apiserver.admission.webhooks.webhook import Webhook, WebhookSet
from tenantry.apiserver.decoding import normalise
from tenantry.apiserver.worker_threads import is_light, workers
from tenantry.kube.admission_matching import MatchedResource
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.objects import Object, split_api_version, with_own_containers
from tenantry.kube.patch.json_patch import OperationFailed, apply_operations
from tenantry.kube.status import FieldError, StatusError, internal, invalid
from tenantry.kube.types import BUILTINS

_NAME = "webhooks"
_PREFIX = "mutation.webhook.admission.k8s.io/"
_PATCH_PREFIX = "patch.webhook.admission.k8s.io/"
_FAILED_OPEN = f"failed-open.{_PREFIX}"
_NOTED_WEIGHT = 11_000
_SCHEME = 'in scheme "pkg/runtime/scheme.go:111"'


class _Rounds:
    """What is kept between the two rounds. `invoked`: those that are called again if something changes later; `again`: those
    that are; `last`: the object after the first round."""

    __slots__ = ("again", "invoked", "last")

    def __init__(self) -> None:
        self.invoked: set[str] = set()
        self.again: set[str] = set()
        self.last: Object | None = None

    def changed(self) -> None:
        self.again |= self.invoked
        self.invoked = set()


class MutatingWebhooks:
    """The mutating part of `WebhookAdmission`."""

    def __init__(self, context: CallContext) -> None:
        self._context = context

    def ask(self, review: Review, rounds: Reinvocation) -> Ask | None:
        """None where no webhook is to be called."""
        try:
            found = self._context.index.find(review, mutating=True)
        except WebhooksNotRead:
            return Ask(lambda deadline: self._read_and_call(review, rounds, deadline))
        if found is None:
            return None
        webhooks = found.about(review.definition.plural)
        if not webhooks:
            return None
        if rounds.again:
            kept = rounds.values.get(_NAME)
            if kept is None:
                return None
            if kept.last is not None and kept.last != review.object:
                kept.changed()
            if not kept.again:
                return None
        elif is_short(webhooks):
            matcher = ReviewMatcher(review, self._context.facts)
            if all(matcher.match(webhook) is None for webhook in webhooks):
                return None
        return Ask(lambda deadline: self._call_each(review, rounds, found, webhooks, deadline))

    async def _read_and_call(self, review: Review, rounds: Reinvocation, deadline: float) -> None:
        await self._context.read(review, mutating=True)
        ask = self.ask(review, rounds)
        if ask is not None:
            await ask.call(deadline)

    async def _call_each(
        self, review: Review, rounds: Reinvocation, found: WebhookSet, webhooks: Sequence[Webhook], deadline: float
    ) -> None:
        kept: _Rounds = rounds.values.setdefault(_NAME, _Rounds())
        number = 1 if rounds.again else 0
        matcher = ReviewMatcher(review, self._context.facts)
        matches = deque(await matcher.match_each(webhooks))
        called = 0
        while matches:
            index, matched = matches.popleft()
            webhook = webhooks[index]
            if rounds.again and webhook.uid not in kept.again:
                continue
            if not await self._context.meets_conditions(webhook, matcher, review, matched, deadline):
                continue
            called += 1
            if called > CALLED_MAX:
                raise too_many(len(webhooks))
            place = f"round_{number}_index_{index}"
            changed = await self._call(webhook, matcher, review, matched, found.cluster, deadline, place)
            if changed:
                matcher = ReviewMatcher(review, self._context.facts, matcher.allowance)
                matches = deque(await matcher.match_each(webhooks, index + 1))
                rounds.changes += 1
                rounds.wanted = True
                kept.changed()
            if webhook.reinvocable:
                kept.invoked.add(webhook.uid)
        if not rounds.again and kept.invoked | kept.again and review.object is not None:
            kept.last = with_own_containers(review.object)

    async def _call(
        self,
        webhook: Webhook,
        matcher: ReviewMatcher,
        review: Review,
        matched: MatchedResource,
        owner: str,
        deadline: float,
        place: str,
    ) -> bool:
        """Returns whether the webhook has changed the object. Raises StatusError."""
        context, objects = self._context, matcher.own_objects(matched) or await matcher.objects(matched, deadline)
        changed = False
        try:
            encoded = Encoded(review, request_values(review, matcher.request, matched), objects, owner, shared=False)
            response = await context.call(
                webhook, encoded, review, kind=ADMIT, owner=owner, deadline=deadline, failed_open=_FAILED_OPEN + place
            )
            if response is None or not response.operations:
                return False
            operations = response.operations
            if review.object is None:
                raise internal(
                    f'admission webhook "{webhook.name}" attempted to modify the object, which is not supported for this '
                    "operation"
                )
            try:
                weight = review.weight + response.weight
                if is_light(weight):
                    made = _patched(review, objects[0], operations, matched)
                else:
                    made = await workers.run(owner, lambda: _patched(review, objects[0], operations, matched))
                if review.definition.conversion is not None and review.form is None:
                    back = await converted(review, made, review.request.matched, deadline)
                    assert back is not None
                    # Readers of what is stored see defaults, so those that look at it before do too.
                    normalised(back, review.definition, review.request.matched)
                    made = back
                changed = made != matcher.obj
                if changed:
                    review.take(made)
                    review.weight = weight
            except StatusError:
                context.calls.metrics.rejected(webhook.name, ADMIT, review.operation, INTERNAL_ERROR, 0)
                raise
            if response.weight <= _NOTED_WEIGHT:
                # No annotation has a longer patch, so that the loop encodes none.
                noted = {"configuration": webhook.configuration, "webhook": webhook.name, "patch": operations}
                annotate_json(review, _PATCH_PREFIX + place, noted | {"patchType": "JSONPatch"})
            return changed
        finally:
            annotate_json(
                review,
                _PREFIX + place,
                {"configuration": webhook.configuration, "webhook": webhook.name, "mutated": changed},
            )


def _patched(review: Review, obj: Object | None, operations: Sequence[Any], matched: MatchedResource) -> Object:
    """The object after a patch, complete and in the version of the request, or in that of the match where a webhook converts it
    back. Raises StatusError 500."""
    try:
        made = apply_operations(obj, operations)
    except OperationFailed as failure:
        raise internal(str(failure)) from None
    if review.form is not None:
        return _as_object(made)
    definition = review.definition
    made = _as_object(made)
    _check_kind(review, made, matched)
    try:
        normalised(made, definition, matched)
    except Mismatch as mismatch:
        raise internal(mismatch.text()) from None
    own = review.request.matched
    if matched.kind == own.kind or definition.conversion is not None:
        return made
    back = convert(made, definition, matched, own)
    assert back is not None
    return back


def _as_object(made: Any) -> Object:
    if not isinstance(made, dict):
        found = {list: "array", str: "string", bool: "bool"}.get(type(made), "number")
        raise internal(f"couldn't get version/kind; json parse error: json: cannot unmarshal {found} into Go value")
    if made.get("metadata") is None:
        made["metadata"] = {}
    return made


def _check_kind(review: Review, made: Object, matched: MatchedResource) -> None:
    """Raises StatusError where a webhook makes another kind of the object: upstream decodes what it is said to be."""
    group, version, kind = matched.kind
    wanted = f"{group}/{version}" if group else version
    given_version, given_kind = made.get("apiVersion") or "", made.get("kind") or ""
    if (given_version, given_kind) == (wanted, kind):
        return
    if review.definition.custom:
        if not given_kind:
            raise internal(f"Object 'Kind' is missing in '{orjson.dumps(made).decode()}'")
        field, given, right = ("kind", given_kind, kind) if given_kind != kind else ("apiVersion", given_version, wanted)
        text = f"Invalid value: {orjson.dumps(given).decode()}: must be {right}"
        raise invalid(group, kind, review.name, [FieldError("Invalid", field, text)])
    given_version, given_kind = given_version or wanted, given_kind or kind
    if (given_version, given_kind) == (wanted, kind):
        made["apiVersion"], made["kind"] = wanted, kind
        return
    other_group, other_version = split_api_version(given_version) if isinstance(given_version, str) else ("", "")
    for definition in BUILTINS:
        if definition.kind == given_kind and definition.group == other_group and other_version in definition.versions:
            try:
                normalise(definition, definition.versions[other_version], made)
            except Mismatch as mismatch:
                raise internal(mismatch.text()) from None
            target = f"({(group.partition('.')[0] or 'core')}.{kind})"
            raise StatusError(500, "", f"converting ({other_version}.{given_kind}) to {target}: unknown conversion")
    raise internal(f'no kind "{given_kind}" is registered for version "{given_version}" {_SCHEME}')
