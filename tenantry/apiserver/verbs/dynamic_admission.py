"""The steps of a write in which dynamic admission is asked (`apiserver.admission.dynamic`).

    mutating plugins ─► mutating dynamic admission ─┬─► schema, strategy, validation ─► validating plugins ─┐
           ▲                                        │                                                       ▼
           └── once more, where something changed ──┘              commit ◄── look again ◄── validating dynamic admission

Plugins run again after a change, so that what dynamic admission wrote is as if the client had sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson

from tenantry.apiserver.admission.dynamic import DynamicAdmission, Reinvocation, WholeAdmission, metadata_before
from tenantry.apiserver.admission.review import Review
from tenantry.apiserver.verbs.metadata import check_namespace
from tenantry.apiserver.verbs.write import Part
from tenantry.apiserver.worker_threads import is_light
from tenantry.kube.apply.managers import decode
from tenantry.kube.objects import Object, with_own_containers

_ROUNDS = 2


def ask_mutating(
    admission: WholeAdmission, review: Review, asked_first: Sequence[DynamicAdmission], plugins: Callable[[], Part[None]]
) -> Part[bool]:
    """Asks mutating dynamic admission, which may change `review.object`. On the loop, before and after. `asked_first`: what is
    configured. `plugins` runs the mutating plugins again. Returns whether other code may have run meanwhile. Raises
    StatusError."""
    rounds = Reinvocation()
    configured = asked_first
    asked = False
    for _ in range(_ROUNDS):
        changed = rounds.changes
        before = metadata_before(review.object) if review.object is not None else {}
        for each in configured:
            ask = each.mutating(review, rounds)
            if ask is not None:
                yield ask
                asked = True
        if rounds.changes == changed:
            break
        admission.restore(review, before)
        yield from plugins()
        if not rounds.wanted:
            break
        rounds.again, rounds.wanted = True, False
        configured = admission.configured.mutating(review)
    return asked


def take_changes(review: Review, managed: list[Object] | None) -> None:
    """Checks what dynamic admission has made of the object. `managed`: managedFields before. Raises StatusError."""
    obj = review.object
    assert obj is not None
    metadata = obj["metadata"]
    check_namespace(obj, review.namespace)
    entries = metadata.get("managedFields")
    if not entries:
        metadata.pop("managedFields", None)
    if not entries or entries == managed:
        return
    try:
        decode(entries)
    except ValueError as error:
        if managed is not None:
            metadata["managedFields"] = managed
        else:
            metadata.pop("managedFields", None)
        review.warnings.append(
            ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating "
            f"admission controller; please fix your requests: {error}"
        )


def ask_validating(
    configured: Sequence[DynamicAdmission], review: Review, known: Snapshot | None = None
) -> Part[Snapshot | None]:
    """Asks validating dynamic admission about the final object. On the loop, before and after. `known`: what the object is, where
    it is known already. Returns what the object was where other code may have run meanwhile. Raises StatusError."""
    before: Snapshot | None = None
    for each in configured:
        ask = each.validating(review)
        if ask is not None:
            if before is None:
                before = known or Snapshot(review.object or {}, light=is_light(review.weight))
            yield ask
    return before


class Snapshot:
    """What an object is now. `light`: it is small enough to be encoded on the loop, which is faster than a copy."""

    __slots__ = ("_encoded", "_obj")

    def __init__(self, obj: Object, *, light: bool) -> None:
        self._encoded = orjson.dumps(obj) if light else None
        self._obj = None if light else with_own_containers(obj)

    def is_still(self, obj: Object | None) -> bool:
        if self._encoded is None:
            return obj == self._obj
        # Equal objects may have their fields in another order.
        return orjson.dumps(obj) == self._encoded or obj == orjson.loads(self._encoded)
