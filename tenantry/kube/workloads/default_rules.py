"""Kubernetes' defaults that depend on other fields, or are set in code (`SetDefaults_…` in k8s.io/kubernetes/pkg/apis), by the
name of the message. Each rule changes a decoded struct in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tenantry.kube.objects import Object, labels_of
from tenantry.kube.workloads.images import tag_of
from tenantry.kube.workloads.preparation import TEMPLATE_GENERATION

Rule = Callable[[Object], None]
_INT32_MAX = (1 << 31) - 1
_CLIENT_IP_SECONDS = 10800
_FILE_MODE = 0o644
_OUTSIDE = ("NodePort", "LoadBalancer")


def _part(obj: Object, name: str) -> Object:
    """A struct that is always there, except where a view hides it: then what is filled in is dropped."""
    found: Object | None = obj.get(name)
    return found if found is not None else {}


def _values(**values: Any) -> Rule:
    """A rule that sets fields that are missing or empty."""

    def fill(obj: Object) -> None:
        for name, value in values.items():
            if obj.get(name) in (None, ""):
                obj[name] = value

    return fill


def _missing(**values: Any) -> Rule:
    """A rule that sets fields that are missing: Go's pointers, which may be empty."""

    def fill(obj: Object) -> None:
        for name, value in values.items():
            if obj.get(name) is None:
                obj[name] = value

    return fill


def _pull_policy(image: str) -> str:
    return "Always" if tag_of(image) == "latest" else "IfNotPresent"


def _container(obj: Object) -> None:
    obj["imagePullPolicy"] = obj.get("imagePullPolicy") or _pull_policy(obj.get("image") or "")
    obj["terminationMessagePath"] = obj.get("terminationMessagePath") or "/dev/termination-log"
    obj["terminationMessagePolicy"] = obj.get("terminationMessagePolicy") or "File"


def _probe(obj: Object) -> None:
    for name, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        obj[name] = obj.get(name) or value


def _volume(obj: Object) -> None:
    if not any(name != "name" for name in obj):
        obj["emptyDir"] = {}
    image = obj.get("image")
    if image is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = _pull_policy(image.get("reference") or "")


def _pod_spec(obj: Object) -> None:
    account = obj.get("serviceAccountName") or obj.get("serviceAccount")
    if account:
        obj["serviceAccountName"] = obj["serviceAccount"] = account
    obj["dnsPolicy"] = obj.get("dnsPolicy") or "ClusterFirst"
    obj["restartPolicy"] = obj.get("restartPolicy") or "Always"
    obj.setdefault("securityContext", {})
    obj.setdefault("terminationGracePeriodSeconds", 30)
    obj["schedulerName"] = obj.get("schedulerName") or "default-scheduler"


def _containers(spec: Object) -> Iterable[Object]:
    for name in ("containers", "initContainers"):
        yield from spec.get(name) or ()


def _pod(obj: Object) -> None:
    spec = _part(obj, "spec")
    if spec.get("terminationGracePeriodSeconds", 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    for container in _containers(spec):
        resources = container.get("resources") or {}
        if "limits" in resources:
            resources["requests"] = resources["limits"] | (resources.get("requests") or {})
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                port["hostPort"] = port.get("hostPort") or port.get("containerPort", 0)
    spec.setdefault("enableServiceLinks", True)
    status = obj.get("status") or {}
    address, addresses = status.get("podIP"), status.get("podIPs")
    if address and (not addresses or addresses[0].get("ip") != address):
        status["podIPs"] = [{"ip": address}]
    elif addresses and not address:
        status["podIP"] = addresses[0].get("ip", "")


def _service(obj: Object) -> None:
    spec = _part(obj, "spec")
    affinity = spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        if "timeoutSeconds" not in client:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _CLIENT_IP_SECONDS}}
    of = spec["type"] = spec.get("type") or "ClusterIP"
    for port in spec.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        port["targetPort"] = port.get("targetPort") or port.get("port", 0)
    if of in _OUTSIDE or (of == "ClusterIP" and spec.get("externalIPs")):
        spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
    if of in (*_OUTSIDE, "ClusterIP"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if of == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
        for ingress in ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
            if ingress.get("ip"):
                ingress.setdefault("ipMode", "VIP")


def _persistent_volume(obj: Object) -> None:
    status = _part(obj, "status")
    status["phase"] = status.get("phase") or "Pending"
    spec = _part(obj, "spec")
    spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
    spec.setdefault("volumeMode", "Filesystem")


def _claim(obj: Object) -> None:
    status = _part(obj, "status")
    status["phase"] = status.get("phase") or "Pending"


def _node_status(obj: Object) -> None:
    if "capacity" in obj:
        obj.setdefault("allocatable", dict(obj["capacity"]))


def _replication_controller(obj: Object) -> None:
    spec = _part(obj, "spec")
    labels = labels_of(spec.get("template") or {})
    if labels:
        spec["selector"] = spec.get("selector") or dict(labels)
        obj["metadata"]["labels"] = labels_of(obj) or dict(labels)


def _deployment(obj: Object) -> None:
    spec = _part(obj, "spec")
    spec.setdefault("replicas", 1)
    strategy = _part(spec, "strategy")
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)


def _daemon_set(obj: Object) -> None:
    spec = _part(obj, "spec")
    strategy = _part(spec, "updateStrategy")
    strategy["type"] = strategy.get("type") or "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    # Upstream's internal type has a number here, which is written as an annotation.
    annotations = obj["metadata"].get("annotations") or {}
    obj["metadata"]["annotations"] = {TEMPLATE_GENERATION: "0"} | annotations


def _stateful_set(obj: Object) -> None:
    spec = _part(obj, "spec")
    spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
    strategy = _part(spec, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        rolling = strategy["rollingUpdate"]
        rolling.setdefault("partition", 0)
        rolling.setdefault("maxUnavailable", 1)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for name in ("whenDeleted", "whenScaled"):
        retention[name] = retention.get(name) or "Retain"
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    for claim in spec.get("volumeClaimTemplates") or ():
        claim["apiVersion"] = claim.get("apiVersion") or "v1"
        claim["kind"] = claim.get("kind") or "PersistentVolumeClaim"


def _replica_set(obj: Object) -> None:
    _part(obj, "spec").setdefault("replicas", 1)


def _job(obj: Object) -> None:
    spec = _part(obj, "spec")
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", _INT32_MAX if "backoffLimitPerIndex" in spec else 6)
    labels = labels_of(_part(spec, "template"))
    if labels and not labels_of(obj):
        obj["metadata"]["labels"] = dict(labels)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)


def _cron_job(obj: Object) -> None:
    spec = _part(obj, "spec")
    spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)


_SCALING_POLICIES: Mapping[str, Object] = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    },
    "scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]},
}


def _autoscaler(obj: Object) -> None:
    spec = _part(obj, "spec")
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        for name, rules in _SCALING_POLICIES.items():
            policies = [dict(policy) for policy in rules["policies"]]
            behavior[name] = {**rules, "policies": policies} | (behavior.get(name) or {})


def _autoscaler_v1(obj: Object) -> None:
    _part(obj, "spec").setdefault("minReplicas", 1)


def _network_policy(obj: Object) -> None:
    spec = _part(obj, "spec")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _ingress_class(obj: Object) -> None:
    parameters = _part(obj, "spec").get("parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def _csi_driver(obj: Object) -> None:
    spec = _part(obj, "spec")
    spec.setdefault("attachRequired", True)
    for name in ("podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount", "preventPodSchedulingIfMissing"):
        spec.setdefault(name, False)
    spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _http_get(obj: Object) -> None:
    obj["path"] = obj.get("path") or "/"
    obj["scheme"] = obj.get("scheme") or "HTTP"


def _endpoint_port(obj: Object) -> None:
    obj.setdefault("name", "")
    obj.setdefault("protocol", "TCP")


def _with_mode(obj: Object) -> None:
    obj.setdefault("defaultMode", _FILE_MODE)


RULES: Mapping[str, Rule] = {
    "apps.v1.DaemonSet": _daemon_set,
    "apps.v1.Deployment": _deployment,
    "apps.v1.ReplicaSet": _replica_set,
    "apps.v1.StatefulSet": _stateful_set,
    "autoscaling.v1.HorizontalPodAutoscaler": _autoscaler_v1,
    "autoscaling.v2.HorizontalPodAutoscaler": _autoscaler,
    "batch.v1.CronJob": _cron_job,
    "batch.v1.Job": _job,
    "batch.v1.PodFailurePolicyOnPodConditionsPattern": _values(status="True"),
    "core.v1.ConfigMapVolumeSource": _with_mode,
    "core.v1.Container": _container,
    "core.v1.DownwardAPIVolumeSource": _with_mode,
    "core.v1.EndpointPort": _values(protocol="TCP"),
    "core.v1.EphemeralContainer": _container,
    "core.v1.HTTPGetAction": _http_get,
    "core.v1.HostPathVolumeSource": _missing(type=""),
    "core.v1.NodeStatus": _node_status,
    "core.v1.ObjectFieldSelector": _values(apiVersion="v1"),
    "core.v1.PersistentVolume": _persistent_volume,
    "core.v1.PersistentVolumeClaim": _claim,
    "core.v1.PersistentVolumeClaimSpec": _missing(volumeMode="Filesystem"),
    "core.v1.Pod": _pod,
    "core.v1.PodSpec": _pod_spec,
    "core.v1.Probe": _probe,
    "core.v1.ProjectedVolumeSource": _with_mode,
    "core.v1.ReplicationController": _replication_controller,
    "core.v1.SecretVolumeSource": _with_mode,
    "core.v1.Service": _service,
    "core.v1.ServiceAccountTokenProjection": _missing(expirationSeconds=3600),
    "core.v1.Volume": _volume,
    "discovery.v1.EndpointPort": _endpoint_port,
    "networking.v1.IngressClass": _ingress_class,
    "networking.v1.NetworkPolicy": _network_policy,
    "networking.v1.NetworkPolicyPort": _missing(protocol="TCP"),
    "scheduling.v1.PriorityClass": _missing(preemptionPolicy="PreemptLowerPriority"),
    "storage.v1.CSIDriver": _csi_driver,
    "storage.v1.StorageClass": _missing(reclaimPolicy="Delete", volumeBindingMode="Immediate"),
}
"""Name of a message → its rule."""
