"""What types change in what they are sent, beyond their defaults (PrepareForCreate and PrepareForUpdate in Kubernetes)."""

from __future__ import annotations

from tenantry.kube.objects import Object, annotations_of, timestamp
from tenantry.kube.workloads.pod_resources import default_pod_requests, quality_of_service

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def create_pod(obj: Object) -> None:
    default_pod_requests(obj["spec"])
    obj["status"] = {"phase": "Pending", "qosClass": quality_of_service(obj["spec"])}


def create_volume(obj: Object) -> None:
    obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": timestamp()}


def update_volume_status(obj: Object, old: Object) -> None:
    if obj["status"].get("phase") != old["status"].get("phase"):
        obj["status"]["lastPhaseTransitionTime"] = timestamp()


def create_claim(obj: Object) -> None:
    """Both fields for the source of the data say the same."""
    obj["status"] = {"phase": "Pending"}
    spec = obj["spec"]
    if not _is_known_source(spec.get("dataSource") or {}):
        spec.pop("dataSource", None)
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = {"apiGroup": source.get("apiGroup"), "kind": source.get("kind"), "name": source.get("name")}
    elif source is None and reference is not None and not reference.get("namespace"):
        spec["dataSource"] = {"apiGroup": reference.get("apiGroup"), "kind": reference.get("kind"), "name": reference.get("name")}


def _is_known_source(source: Object) -> bool:
    """Whether it is a claim or a snapshot: others are for the newer field."""
    place = (source.get("apiGroup") or "", source.get("kind"))
    return place in (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))


def create_daemon_set(obj: Object) -> None:
    _set_template_generation(obj, "1")


def update_daemon_set(obj: Object, old: Object) -> None:
    before = annotations_of(old).get(TEMPLATE_GENERATION, "0")
    changed = obj["spec"].get("template") != old["spec"].get("template")
    _set_template_generation(obj, str(int(before) + 1) if changed and before.isdecimal() and len(before) < 19 else before)


def _set_template_generation(obj: Object, value: str) -> None:
    obj["metadata"]["annotations"] = annotations_of(obj) | {TEMPLATE_GENERATION: value}


def without_topology(obj: Object) -> None:
    """An EndpointSlice of v1 cannot have this field of older versions."""
    for endpoint in obj.get("endpoints") or ():
        endpoint.pop("deprecatedTopology", None)


def update_endpoint_slice(obj: Object, old: Object) -> None:
    without_topology(obj)


def create_service(obj: Object) -> None:
    _same_addresses(obj["spec"])


def update_service(obj: Object, old: Object) -> None:
    spec, before = obj["spec"], old["spec"]
    if spec.get("clusterIP") != before.get("clusterIP") and spec.get("clusterIPs") == before.get("clusterIPs"):
        spec.pop("clusterIPs", None)
    _same_addresses(spec)


def _same_addresses(spec: Object) -> None:
    """The address of older clients is the first of the list. No address is allocated here."""
    if spec.get("type") == "ExternalName":
        return
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    elif spec.get("clusterIPs") and not spec.get("clusterIP"):
        spec["clusterIP"] = spec["clusterIPs"][0]
