"""Labels and annotations that are the platform's: the platform, system:masters and system:kcp:admin write them, nobody else does,
through whatever verb, subresource and view. kcp refuses none of it (its `apis.kcp.io/ReservedMetadata` is off).

What a user changes about reserved keys is taken off before any other plugin sees it, so that no plugin works with it. At the end
it must be what the plugins, which write for the platform, made of it: who sends back what he was given, or what would be written
anyway, is let through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tenantry.apiserver.admission.attributes import Review
from tenantry.apiserver.admission.plugin import Plugin
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.status import forbidden
from tenantry.tenancy.exports.hashing import CLAIM_LABEL_PREFIX
from tenantry.tenancy.reserved_keys import ANNOTATIONS, LABELS, is_privileged, is_reserved

_SHOWN = 10
"""Refused keys that an answer names."""


Withheld = Mapping[tuple[str, str], str | None]
"""(field, key) → the value that was sent, None where the key was left out."""
_NOTHING: Withheld = {}


class ReservedMetadata(Plugin):
    """Runs before all other plugins."""

    def mutate(self, review: Review) -> None:
        obj = review.object
        # A write that takes long is asked twice; what is there the second time is the platform's work.
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
            # Claim labels follow from the object and from the bindings of its cluster, whatever is sent.
            if key not in now and is_reserved(field, key, resource) and not key.startswith(CLAIM_LABEL_PREFIX):
                found[field, key] = None
    return found


def _shown(refused: Sequence[str]) -> Sequence[str]:
    if len(refused) <= _SHOWN:
        return refused
    return (*refused[:_SHOWN], f"and {len(refused) - _SHOWN} more")
