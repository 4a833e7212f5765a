"""The transition from client-side to server-side apply, by kubectl's last-applied-configuration annotation.

It applies only to the field manager `kubectl`. It takes over, without a conflict, the fields that it wrote by client-side apply.
Where the object has the annotation, it is kept up to date, so that a user can return to client-side apply.
"""

from __future__ import annotations

from typing import Any

import orjson

from tenantry.kube.apply import field_set
from tenantry.kube.apply.field_set import EMPTY, FieldSet
from tenantry.kube.apply.managed_fields import compare_objects
from tenantry.kube.apply.owned_fields import fields_of
from tenantry.kube.apply.typed import Node, TypedError
from tenantry.kube.apply.typed_validation import validate
from tenantry.kube.codec.json_size import nests_too_deeply
from tenantry.kube.objects import Object, annotations_of

ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
MANAGER = "kubectl"
MAX_ANNOTATIONS_BYTES = 256 * 1024


def upgradable_fields(live: Object, node: Node, api_version: str) -> FieldSet:
    """The fields of the last client-side apply that the live object still has with the same value."""
    text = annotations_of(live).get(ANNOTATION)
    if not text:
        return EMPTY
    try:
        last = orjson.loads(text)
        if not isinstance(last, dict) or last.get("apiVersion") != api_version or nests_too_deeply(last) or validate(node, last):
            return EMPTY
        fields = fields_of(node, last)
        for changed in compare_objects(node, last, live):
            fields = field_set.difference(fields, changed)
    except (orjson.JSONDecodeError, TypedError):
        return EMPTY
    return fields


def refresh_annotation(metadata: dict[str, Any], config: Object) -> None:
    """Writes the applied configuration into the annotation, where the object has it. Changes `metadata`."""
    annotations: dict[str, str] = metadata.get("annotations") or {}
    if not annotations.get(ANNOTATION):
        return
    applied_metadata = dict(config.get("metadata") or {})
    applied_annotations = {k: v for k, v in (applied_metadata.get("annotations") or {}).items() if k != ANNOTATION}
    if "annotations" in applied_metadata:
        applied_metadata["annotations"] = applied_annotations
    applied = {**config, "metadata": applied_metadata}
    annotations[ANNOTATION] = orjson.dumps(applied, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    if sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items()) > MAX_ANNOTATIONS_BYTES:
        del annotations[ANNOTATION]
