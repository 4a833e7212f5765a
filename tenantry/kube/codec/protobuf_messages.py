"""The messages that bodies and answers may be in protobuf, by apiVersion and kind."""

from __future__ import annotations

from functools import lru_cache

from tenantry.kube import answer_tables as answers
from tenantry.kube.message_tables import DELETE_OPTIONS, Message
from tenantry.kube.types import BUILTINS
from tenantry.kube.types.reviews import TOKEN_REQUEST
from tenantry.kube.workloads.facts import workload_message


def message_of(api_version: str, kind: str) -> Message | None:
    """The message of a built-in kind, None for other kinds."""
    found = _messages().get((api_version, kind)) or workload_message(api_version, kind)
    # Upstream registers this kind in every group.
    return DELETE_OPTIONS if found is None and kind == "DeleteOptions" else found


@lru_cache(maxsize=1)
def _messages() -> dict[tuple[str, str], Message]:
    found = {
        ("v1", "DeleteOptions"): DELETE_OPTIONS,
        ("authentication.k8s.io/v1", "TokenRequest"): TOKEN_REQUEST,
        ("v1", "Status"): answers.STATUS,
        ("meta.k8s.io/v1", "PartialObjectMetadata"): answers.PARTIAL_OBJECT_METADATA,
        ("meta.k8s.io/v1beta1", "PartialObjectMetadata"): answers.PARTIAL_OBJECT_METADATA,
        ("v1", "APIVersions"): answers.API_VERSIONS,
        ("v1", "APIGroup"): answers.API_GROUP,
        ("v1", "APIGroupList"): answers.API_GROUP_LIST,
        ("v1", "APIResourceList"): answers.API_RESOURCE_LIST,
        ("apidiscovery.k8s.io/v2", "APIGroupDiscoveryList"): answers.API_GROUP_DISCOVERY_LIST,
        ("apidiscovery.k8s.io/v2beta1", "APIGroupDiscoveryList"): answers.API_GROUP_DISCOVERY_LIST,
        ("autoscaling/v1", "Scale"): answers.SCALE,
    }
    for definition in BUILTINS:
        for version in definition.versions.values():
            if version.protobuf is not None:
                found[definition.api_version(version.name), definition.kind] = version.protobuf
    return found
