"""Dynamic admission of what connectors create: subresources whose objects are not stored (TokenRequest)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tenantry.apiserver.admission.dynamic import Ask
from tenantry.apiserver.admission.review import CREATE, Review
from tenantry.apiserver.scope import Call
from tenantry.apiserver.verbs.dynamic_admission import ask_mutating, ask_validating
from tenantry.apiserver.verbs.write import ASKING_SECONDS, Part
from tenantry.kube.admission_matching import GroupVersionKind
from tenantry.kube.decode import normalise
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.go_decode import Mismatch
from tenantry.kube.objects import Object
from tenantry.kube.status import internal


class _BodyForm:
    """The body of the request is of another kind than the resource that it is sent to."""

    def __init__(self, definition: ResourceDefinition, version: str) -> None:
        self._definition = definition
        self.kind = GroupVersionKind(definition.group, version, definition.kind)
        self._api_version = definition.api_version(version)

    def show(self, obj: Object) -> Object:
        return {**obj, "apiVersion": self._api_version, "kind": self.kind.kind}

    def take(self, obj: Object, changed: Object) -> None:
        try:
            normalise(changed, self._definition)
        except Mismatch as mismatch:
            raise internal(mismatch.text()) from None
        obj.clear()
        obj.update(changed)


async def admit(call: Call, body: ResourceDefinition, version: str, obj: Object, shown: Mapping[str, Any]) -> None:
    """Asks about a request that creates `obj`, which is changed in place. `body`: its type. `shown`: metadata that it has for
    validating admission. Raises StatusError."""
    admission = call.scope.admission
    review = Review(
        operation=CREATE,
        scope=call.scope,
        definition=call.definition,
        version=call.shape,
        cluster=call.cluster,
        namespace=call.namespace,
        name=call.name,
        subresource=call.subresource,
        user=call.acting_user(),
        object=obj,
        old_object=None,
        warnings=call.warnings,
        form=_BodyForm(body, version),
        audit_annotations=call.audit_annotations,
        weight=call.weight,
    )
    mutating = admission.configured.mutating(review)
    if mutating:
        await _drive(ask_mutating(admission, review, mutating, _nothing))
    review.as_sent = shown
    validating = admission.configured.validating(review)
    if validating:
        await _drive(ask_validating(validating, review))


async def _drive(steps: Part[Any]) -> None:
    """Awaits what a part asks. Nothing else is done between: there is no record."""
    deadline = asyncio.get_running_loop().time() + ASKING_SECONDS
    try:
        step = next(steps)
        while True:
            if isinstance(step, Ask):
                await step.call(deadline)
            step = steps.send(True)
    except StopIteration:
        return
    finally:
        steps.close()


def _nothing() -> Part[None]:
    """No plugin looks at these requests."""
    yield from ()
