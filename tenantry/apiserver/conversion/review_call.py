"""One conversion of objects to one version by the webhook of their type."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tenantry.apiserver.admission.webhooks.caller import CallFailed, WebhookCaller, is_short
from tenantry.apiserver.admission.webhooks.webhook import Place, read_place
from tenantry.apiserver.conversion.metrics import ConversionMetrics
from tenantry.apiserver.worker_threads import run_weighed, weigh, workers
from tenantry.kube.conversion import WebhookConversion
from tenantry.kube.conversion_review import CALL_FAILED, ConversionFailed, converted, encode_review, read_answer
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import new_uid

_QUERY = "timeout=30s"


class ReviewCall:
    """`owner`: the logical cluster whose webhook it is. `deadline`: time of the event loop. `answer_weight`: of the answers, in
    the unit of `worker_threads.weigh`."""

    def __init__(
        self,
        caller: WebhookCaller,
        metrics: ConversionMetrics,
        definition: ResourceDefinition,
        version: str,
        *,
        owner: str,
        deadline: float,
    ) -> None:
        assert definition.conversion is not None
        self._caller = caller
        self._metrics = metrics
        self._definition = definition
        self._conversion = definition.conversion
        self._version = version
        self._desired = definition.api_version(version)
        self._owner = owner
        self._deadline = deadline
        self.answer_weight = 0

    async def convert(self, objects: Sequence[Object], weight: int) -> Sequence[Object]:
        """The objects in the other version, as the webhook has made them. `weight`: of all of them. Raises ConversionFailed.

        Upstream sends each object alone. So where a webhook refuses several, they are sent one by one: the error is that of the
        first one that it does not convert, and those that can be converted are.
        """
        try:
            return await self._review(objects, weight)
        except ConversionFailed as failed:
            if len(objects) == 1 or not failed.about_objects:
                raise
        made: list[Object] = []
        for place, obj in enumerate(objects):
            try:
                made += await self._review((obj,), weight)
            except ConversionFailed as failed:
                failed.place = place
                raise
        return made

    async def _review(self, objects: Sequence[Object], weight: int) -> Sequence[Object]:
        loop = asyncio.get_running_loop()
        began, failure = loop.time(), ""
        try:
            return await self._ask(objects, weight)
        except ConversionFailed as failed:
            failure = failed.failure
            raise
        finally:
            seconds = loop.time() - began
            self._metrics.called(seconds, failure)
            source = objects[0]["apiVersion"].rpartition("/")[2]
            self._metrics.converted(self._conversion.name, source, self._version, seconds, succeeded=not failure)

    async def _ask(self, objects: Sequence[Object], weight: int) -> Sequence[Object]:
        version, uid = self._conversion.review_version, new_uid()
        kind = f"{objects[0]['apiVersion']}, Kind={self._definition.kind}"
        body = await run_weighed(self._owner, weight, lambda: encode_review(version, uid, self._desired, objects))
        try:
            answer = await self._caller.post(
                _place(self._definition, self._conversion), _QUERY, body, owner=self._owner, deadline=self._deadline
            )
        except CallFailed as failed:
            text = f"conversion webhook for {kind} failed: {failed}"
            raise ConversionFailed(text, CALL_FAILED, about_objects=False) from None

        def read() -> list[Object]:
            texts = read_answer(answer, version, uid, kind, len(objects))
            return [converted(obj, text, self._desired, kind) for obj, text in zip(objects, texts, strict=True)]

        self.answer_weight += weigh(answer)
        return read() if is_short(answer) else await workers.run(self._owner, read)


def _place(definition: ResourceDefinition, conversion: WebhookConversion) -> Place:
    memo = definition.versions[definition.storage_version].memo
    place: Place | None = memo.get("conversion.place")
    if place is None:
        place = memo["conversion.place"] = read_place(conversion.client)
    return place
