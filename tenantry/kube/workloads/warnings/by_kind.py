"""Kind → the warnings of the type (WarningsOnCreate and WarningsOnUpdate of its strategy in Kubernetes)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from tenantry.kube.go_text import quote
from tenantry.kube.names import dns1123_label_errors
from tenantry.kube.objects import Object, annotations_of
from tenantry.kube.workloads.validation.services import is_headless
from tenantry.kube.workloads.warnings.addresses import address_warnings, network_warnings
from tenantry.kube.workloads.warnings.amounts import claim_warnings
from tenantry.kube.workloads.warnings.node_labels import DEPRECATED, term_warnings
from tenantry.kube.workloads.warnings.pods import template_warnings
from tenantry.kube.workloads.warnings.volumes import plugin_warnings

Warnings = Callable[[Object, Object | None], Iterator[str]]
"""It is given an object and the stored one, which is None on create."""

_MANY = 200
"""No answer has room for more."""
_CLAIM_CLASS, _MOUNT_OPTIONS = "volume.beta.kubernetes.io/storage-class", "volume.beta.kubernetes.io/mount-options"
_CLASS_FIELD = 'deprecated since v1.8; use "storageClassName" attribute instead'
_INGRESS_CLASS = "kubernetes.io/ingress.class"
_TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
_VOLUME_PLUGINS = ("cephfs", "photonPersistentDisk", "scaleIO", "storageos", "glusterfs", "rbd")
_MANY_COMPLETIONS, _MUCH_PARALLELISM = 100_000, 10_000
_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_SLICE_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
_ENDPOINTS_MANAGED_BY, _ENDPOINTS_CONTROLLER = "endpoints.kubernetes.io/managed-by", "endpoint-controller"


def warnings_of(kind: str, obj: Object, old: Object | None) -> list[str]:
    """`obj`: valid and complete."""
    find = _WARNINGS.get(kind)
    return [] if find is None else list(islice(find(obj, old), _MANY))


def _name(obj: Object, used: str) -> Iterator[str]:
    errors = dns1123_label_errors(obj["metadata"].get("name") or "")
    if errors:
        advice = f"this is used in {used}, which can result in surprising behavior; a DNS label is recommended"
        yield f"metadata.name: {advice}: [{' '.join(errors)}]"


def _is_new(obj: Object, old: Object | None) -> bool:
    """Whether an object is another generation than the stored one."""
    return old is None or obj["metadata"].get("generation") != old["metadata"].get("generation")


def _pod(obj: Object, old: Object | None) -> Iterator[str]:
    if old is None:
        yield from _name(obj, "the Pod's hostname")
        yield from template_warnings("", obj)


def _named_with_template(obj: Object, old: Object | None) -> Iterator[str]:
    if old is None:
        yield from _name(obj, "Pod names and hostnames")
    if _is_new(obj, old):
        yield from template_warnings("spec.template", obj["spec"].get("template") or {})


def _replication_controller(obj: Object, old: Object | None) -> Iterator[str]:
    if old is None:
        yield from _named_with_template(obj, None)
    elif _is_new(obj, old):
        # Upstream takes the stored template for the new one.
        yield from template_warnings("spec.template", old["spec"].get("template") or {})


def _daemon_set(obj: Object, old: Object | None) -> Iterator[str]:
    template = obj["spec"].get("template") or {}
    if old is None or template != old["spec"].get("template"):
        yield from template_warnings("spec.template", template)


def _pod_template(obj: Object, old: Object | None) -> Iterator[str]:
    if _is_new(obj, old):
        yield from template_warnings("template", obj.get("template") or {})


def _stateful_set(obj: Object, old: Object | None) -> Iterator[str]:
    spec = obj["spec"]
    if _is_new(obj, old):
        yield from template_warnings("spec.template", spec.get("template") or {})
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        # Upstream names the place in two ways.
        where = f"spec.volumeClaimTemplates[{index}]"
        yield from claim_warnings(where if old is None else f"{where}.Spec", claim.get("spec") or {})
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        yield "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"


def _job_spec(path: str, spec: Object) -> Iterator[str]:
    if spec.get("completionMode") == "Indexed":
        many = (spec.get("completions") or 0) > _MANY_COMPLETIONS
        if many and (spec.get("parallelism") or 0) > _MUCH_PARALLELISM:
            yield (
                f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, "
                "Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
            )
    yield from template_warnings(f"{path}.template", spec.get("template") or {})


def _job(obj: Object, old: Object | None) -> Iterator[str]:
    if old is None:
        yield from _name(obj, "Pod names and hostnames")
    if _is_new(obj, old):
        yield from _job_spec("spec", obj["spec"])


def _cron_job(obj: Object, old: Object | None) -> Iterator[str]:
    if old is None:
        yield from _name(obj, "Pod names and hostnames")
    if _is_new(obj, old):
        yield from _job_spec("spec.jobTemplate.spec", (obj["spec"].get("jobTemplate") or {}).get("spec") or {})
    if old is not None and "TZ" in (obj["spec"].get("schedule") or ""):
        place = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/"
        yield f"cannot use TZ or CRON_TZ in spec.spec.schedule, use timeZone instead, see {place} for more details"


def _service(obj: Object, old: Object | None) -> Iterator[str]:
    spec = obj["spec"]
    kind, outside = spec.get("type") or "ClusterIP", spec.get("externalIPs") or ()
    headless = kind == "ClusterIP" and is_headless(spec)
    if _TOPOLOGY_HINTS in annotations_of(obj):
        yield f"annotation {_TOPOLOGY_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
    if spec.get("clusterIP") and not is_headless(spec):
        for index, address in enumerate(spec.get("clusterIPs") or ()):
            yield from address_warnings(f"spec.clusterIPs[{index}]", address)
    if headless:
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if outside:
            yield "spec.externalIPs is ignored for headless services"
        if (spec.get("sessionAffinity") or "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    for index, address in enumerate(outside):
        yield from address_warnings(f"spec.externalIPs[{index}]", address)
    if outside and not headless and kind != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if spec.get("loadBalancerIP"):
        yield from address_warnings("spec.loadBalancerIP", spec["loadBalancerIP"])
    for index, network in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from network_warnings(f"spec.loadBalancerSourceRanges[{index}]", network)
    if kind == "ExternalName" and outside:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _endpoints(obj: Object, old: Object | None) -> Iterator[str]:
    if (obj["metadata"].get("labels") or {}).get(_ENDPOINTS_MANAGED_BY) == _ENDPOINTS_CONTROLLER:
        return
    for index, subset in enumerate(obj.get("subsets") or ()):
        for field in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(field) or ()):
                yield from address_warnings(f"subsets[{index}].{field}[{number}].ip", address.get("ip") or "")


def _endpoint_slice(obj: Object, old: Object | None) -> Iterator[str]:
    if old is None and obj.get("addressType") == "FQDN":
        yield "spec.addressType: FQDN endpoints are deprecated"
    if (obj["metadata"].get("labels") or {}).get(_MANAGED_BY) in _SLICE_CONTROLLERS:
        return
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        for number, address in enumerate(endpoint.get("addresses") or ()):
            yield from address_warnings(f"endpoints[{index}].addresses[{number}]", address)


def _ingress(obj: Object, old: Object | None) -> Iterator[str]:
    if old is None and _INGRESS_CLASS in annotations_of(obj) and obj["spec"].get("ingressClassName") is None:
        yield f"annotation {quote(_INGRESS_CLASS)} is deprecated, please use 'spec.ingressClassName' instead"


def _network_policy(obj: Object, old: Object | None) -> Iterator[str]:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(obj["spec"].get(direction) or ()):
            for number, peer in enumerate(rule.get(peers) or ()):
                block, where = peer.get("ipBlock"), f"spec.{direction}[{index}].{peers}[{number}].ipBlock"
                if block is None:
                    continue
                yield from network_warnings(f"{where}.cidr", block.get("cidr") or "")
                for position, network in enumerate(block.get("except") or ()):
                    yield from network_warnings(f"{where}.except[{position}]", network)


def _node(obj: Object, old: Object | None) -> Iterator[str]:
    spec = obj.get("spec") or {}
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for index, network in enumerate(spec.get("podCIDRs") or ()):
        yield from network_warnings(f"spec.podCIDRs[{index}]", network)


def _runtime_class(obj: Object, old: Object | None) -> Iterator[str]:
    for key in (obj.get("scheduling") or {}).get("nodeSelector") or ():
        if key in DEPRECATED:
            yield f"scheduling.nodeSelector: {DEPRECATED[key]}"


def _volume(obj: Object, old: Object | None) -> Iterator[str]:
    spec, annotations = obj["spec"], annotations_of(obj)
    if _CLAIM_CLASS in annotations:
        yield f"metadata.annotations[{_CLAIM_CLASS}]: {_CLASS_FIELD}"
    if _MOUNT_OPTIONS in annotations:
        yield f'metadata.annotations[{_MOUNT_OPTIONS}]: deprecated since v1.31; use "mountOptions" attribute instead'
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is "
            "to use dynamic provisioning."
        )
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
        yield from term_warnings(f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]", term, values=False)
    yield from plugin_warnings("spec", spec, _VOLUME_PLUGINS)


def _claim(obj: Object, old: Object | None) -> Iterator[str]:
    if _CLAIM_CLASS in annotations_of(obj):
        yield f"metadata.annotations[{_CLAIM_CLASS}]: {_CLASS_FIELD}"
    yield from claim_warnings("spec", obj["spec"])


def _storage_class(obj: Object, old: Object | None) -> Iterator[str]:
    for index, topology in enumerate(obj.get("allowedTopologies") or ()):
        for number, each in enumerate(topology.get("matchLabelExpressions") or ()):
            if each.get("key") in DEPRECATED:
                yield f"allowedTopologies[{index}].matchLabelExpressions[{number}].key: {DEPRECATED[each['key']]}"


def _driver(obj: Object, old: Object | None) -> Iterator[str]:
    spec = obj["spec"]
    requests = spec.get("tokenRequests")
    if not requests or spec.get("serviceAccountTokenInSecrets") is not None:
        return
    if old is None or requests != old["spec"].get("tokenRequests"):
        yield (
            "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible "
            "logging of tokens in volume attributes"
        )


_WARNINGS: Mapping[str, Warnings] = {
    "CSIDriver": _driver,
    "CronJob": _cron_job,
    "DaemonSet": _daemon_set,
    "Deployment": _named_with_template,
    "EndpointSlice": _endpoint_slice,
    "Endpoints": _endpoints,
    "Ingress": _ingress,
    "Job": _job,
    "NetworkPolicy": _network_policy,
    "Node": _node,
    "PersistentVolume": _volume,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "PodTemplate": _pod_template,
    "ReplicaSet": _named_with_template,
    "ReplicationController": _replication_controller,
    "RuntimeClass": _runtime_class,
    "Service": _service,
    "StatefulSet": _stateful_set,
    "StorageClass": _storage_class,
}
