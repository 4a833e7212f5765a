"""Reserved labels and annotations (`tenantry.tenancy.reserved_keys`): only the platform, system:masters and system:kcp:admin
write them, by any verb, subresource and view. kcp refuses none of them (its `apis.kcp.io/ReservedMetadata` is disabled).

A user's changes to reserved keys are removed before any other plugin sees the object. The other plugins then write the
platform's values. After that, the write is refused if a value that the user sent differs from the result. So users may send
back what they read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import Review
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.status import forbidden
from tenantry.tenancy.exports.hashing import CLAIM_LABEL_PREFIX
from tenantry.tenancy.reserved_keys import ANNOTATIONS, LABELS, is_privileged, is_reserved

_SHOWN = 10
"""The most refused keys that a message names."""


Withheld = Mapping[tuple[str, str], str | None]
"""(field, key) → the value that was sent; None if the user removed the key."""
_NOTHING: Withheld = {}


class ReservedMetadataAdmission(Plugin):
    """Must run before all other plugins."""

    def mutate(self, review: Review) -> None:
        obj = review.object
        # A long write calls this twice; the second time, reserved keys are those that plugins wrote.
        if obj is None or review.withheld is not None:
            return
        old = review.old_object
        changed = _changed(obj, old, review.definition.group_resource)
        if not changed or is_privileged(review.user, review.cluster):
            review.withheld = _NOTHING
            return
        review.withheld = changed
        for field in (LABELS, ANNOTATIONS):
            values = obj["metadata"].get(field)
            if values:
                obj["metadata"][field] = {key: value for key, value in values.items() if (field, key) not in changed}

    def restore(self, review: Review, before: Mapping[str, Any]) -> None:
        """Also in a write by the platform, webhooks and policies of a tenant do not write reserved keys."""
        if review.object is None:
            return
        metadata = review.object["metadata"]
        for field in (LABELS, ANNOTATIONS):
            values, had = metadata.get(field) or {}, before.get(field) or {}
            if values == had:
                continue
            resource = review.definition.group_resource
            kept = {key: value for key, value in values.items() if not is_reserved(field, key, resource)}
            kept |= {key: value for key, value in had.items() if is_reserved(field, key, resource)}
            if kept != values:
                metadata[field] = kept

    def validate(self, review: Review) -> None:
        obj = review.object
        if obj is None or not review.withheld:
            return
        refused = []
        for (field, key), sent in review.withheld.items():
            written = (obj["metadata"].get(field) or {}).get(key)
            if written != sent if sent is not None else written is None:
                refused.append(f"metadata.{field}[{key}]: Forbidden: is written by the platform alone")
        if refused:
            raise forbidden(review.definition.group_resource, review.name, "; ".join(_shown(refused)))


def _changed(obj: Object, old: Object | None, resource: GroupResource) -> Withheld:
    found: dict[tuple[str, str], str | None] = {}
    before: Object = old["metadata"] if old is not None else {}
    after: Object = obj["metadata"]
    for field in (LABELS, ANNOTATIONS):
        now, then = after.get(field) or {}, before.get(field) or {}
        if now == then:
            continue
        for key, value in now.items():
            if value != then.get(key) and is_reserved(field, key, resource):
                found[field, key] = value
        for key in then:
            # Claim labels are computed from the object and the bindings of its cluster.
            if key not in now and is_reserved(field, key, resource) and not key.startswith(CLAIM_LABEL_PREFIX):
                found[field, key] = None
    return found


def _shown(refused: Sequence[str]) -> Sequence[str]:
    if len(refused) <= _SHOWN:
        return refused
    return (*refused[:_SHOWN], f"and {len(refused) - _SHOWN} more")
