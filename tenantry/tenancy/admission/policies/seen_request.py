"""What expressions of policies see of a write beside its object: the request, and the namespace."""

from __future__ import annotations

from typing import Any

from tenantry.apiserver import records
from tenantry.apiserver.admission.review import Review
from tenantry.kube.admission_matching import AdmissionRequest, GroupVersionKind, GroupVersionResource, MatchedResource
from tenantry.kube.objects import Object
from tenantry.kube.types import namespace as namespace_type
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.tenancy.resources import NAMESPACES

_NAMESPACE_METADATA = (
    "name",
    "generateName",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "finalizers",
)


def request_of(review: Review, matched: MatchedResource, request: AdmissionRequest) -> Object:
    """The AdmissionRequest of a write without its objects, in the JSON of admission.k8s.io/v1. `matched`: the resource and kind
    in which a policy is matched. `request`: that of the review."""
    resource, kind = request.matched
    made: dict[str, Any] = {
        "uid": "",
        "kind": _kind(matched.kind),
        "resource": _resource(matched.resource),
        "requestKind": _kind(kind),
        "requestResource": _resource(resource),
        "operation": request.operation,
        "userInfo": review.user_info,
        "object": None,
        "oldObject": None,
        "dryRun": review.dry_run,
        "options": review.operation_options,
    }
    if request.subresource:
        made["subResource"] = made["requestSubResource"] = request.subresource
    if request.name:
        made["name"] = request.name
    if request.namespace:
        made["namespace"] = request.namespace
    return made


def _kind(kind: GroupVersionKind) -> Object:
    group, version, name = kind
    return {"group": group, "version": version, "kind": name}


def _resource(resource: GroupVersionResource) -> Object:
    group, version, name = resource
    return {"group": group, "version": version, "resource": name}


def namespace_object(range_: Range, cluster: str, name: str) -> Object | None:
    """A namespace as expressions see it; None where it does not exist."""
    record = range_.get(Key(cluster, NAMESPACES, "", name))
    if record is None:
        return None
    whole = records.decode(record, namespace_type.DEFINITION, "v1")
    metadata = whole["metadata"]
    return {
        "metadata": {field: metadata[field] for field in _NAMESPACE_METADATA if field in metadata},
        "spec": whole.get("spec") or {},
        "status": whole.get("status") or {},
    }
