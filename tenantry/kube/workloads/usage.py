"""What Pods, Services and PersistentVolumeClaims use of a ResourceQuota (k8s.io/kubernetes/pkg/quota/v1/evaluator/core)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from decimal import ROUND_UP

from tenantry.kube.objects import GroupResource, Object, annotations_of
from tenantry.kube.quantity import from_amount, parse
from tenantry.kube.workloads.pod_resources import pod_amounts, quality_of_service

PODS = GroupResource("", "pods")
SERVICES = GroupResource("", "services")
CLAIMS = GroupResource("", "persistentvolumeclaims")
Usage = dict[str, str]
"""Key of a quota → quantity."""
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_OF_CLASS = ".storageclass.storage.k8s.io/"
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_HUGE_PAGES, _REQUESTS, _LIMITS = "hugepages-", "requests.", "limits."
_FEW_KEYS = 64
TO_SPECIFY = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
"""The keys of quotas because of which containers have to say what they need."""


EVALUATED = (PODS, SERVICES, CLAIMS)
"""The types of which more than their number counts."""


def usage_of(resource: GroupResource, obj: Object, keys: Collection[str] | None = None) -> Usage | None:
    """What an object uses, at least of some keys (None: of all). None for types that are only counted."""
    if resource == PODS:
        return _pod(obj, keys)
    evaluate = _EVALUATORS.get(resource)
    return evaluate(obj) if evaluate is not None else None


def is_evaluated(resource: GroupResource) -> bool:
    return resource in EVALUATED


class _Counted:
    """The resources of which a quota has keys, where these are many. A Pod may have many amounts, and a quota many keys: neither
    is gone through for the other."""

    def __init__(self, keys: Collection[str]) -> None:
        self._keys = keys

    def __contains__(self, name: object) -> bool:
        keys = self._keys
        return name in keys or f"{_REQUESTS}{name}" in keys or f"{_LIMITS}{name}" in keys


def _counted(keys: Collection[str]) -> Container[str]:
    if len(keys) > _FEW_KEYS:
        return _Counted(keys)
    return frozenset(key.removeprefix(_REQUESTS).removeprefix(_LIMITS) for key in keys)


def _pod(obj: Object, keys: Collection[str] | None) -> Usage:
    used: Usage = {"count/pods": "1"}
    if (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return used
    spec = obj.get("spec") or {}
    names = None if keys is None else _counted(keys)
    return used | _compute(pod_amounts(spec, "requests", names), pod_amounts(spec, "limits", names))


def _compute(requests: Mapping[str, str], limits: Mapping[str, str]) -> Usage:
    used: Usage = {"pods": "1"}
    for name in _COMPUTE:
        if name in requests:
            used[name] = used[_REQUESTS + name] = requests[name]
        if name in limits:
            used[_LIMITS + name] = limits[name]
    for name, amount in requests.items():
        if name.startswith(_HUGE_PAGES):
            used[name] = used[_REQUESTS + name] = amount
        elif "/" in name and "kubernetes.io/" not in name:
            used[_REQUESTS + name] = amount
    return used


def _service(obj: Object) -> Usage:
    spec = obj.get("spec") or {}
    ports = spec.get("ports") or ()
    node_ports = balancers = 0
    if spec.get("type") == "NodePort":
        node_ports = len(ports)
    elif spec.get("type") == "LoadBalancer":
        balancers = 1
        given = [port for port in ports if port.get("nodePort")]
        node_ports = len(given) if spec.get("allocateLoadBalancerNodePorts") is False else len(ports)
    return {
        "count/services": "1",
        "services": "1",
        "services.loadbalancers": str(balancers),
        "services.nodeports": str(node_ports),
    }


def _claim(obj: Object) -> Usage:
    spec = obj.get("spec") or {}
    used: Usage = {"persistentvolumeclaims": "1", "count/persistentvolumeclaims": "1"}
    of_class = annotations_of(obj).get(_CLASS_ANNOTATION, spec.get("storageClassName") or "")
    if of_class:
        used[f"{of_class}{_OF_CLASS}persistentvolumeclaims"] = "1"
    storage = _storage(spec, obj.get("status") or {})
    if storage:
        used["requests.storage"] = storage
        if of_class:
            used[f"{of_class}{_OF_CLASS}requests.storage"] = storage
    return used


def _storage(spec: Object, status: Object) -> str:
    """What a claim requests, or more where more is allocated to it already. In whole bytes."""
    requested: str = ((spec.get("resources") or {}).get("requests") or {}).get("storage", "")
    allocated: str = (status.get("allocatedResources") or {}).get("storage", "")
    largest = allocated if requested and allocated and parse(allocated) > parse(requested) else requested
    if not largest:
        return ""
    amount = parse(largest)
    whole = amount.to_integral_value(rounding=ROUND_UP)
    return largest if whole == amount else from_amount(whole)


_EVALUATORS: Mapping[GroupResource, Callable[[Object], Usage]] = {SERVICES: _service, CLAIMS: _claim}


def counted_by(key: str) -> GroupResource | None:
    """The type whose objects a key of a quota is about; None for keys that only count other types."""
    name = key.removeprefix("count/")
    if name.partition(".")[0] == "services":
        return SERVICES if name in ("services", "services.loadbalancers", "services.nodeports") else None
    if name in ("persistentvolumeclaims", "requests.storage") or _OF_CLASS in name:
        return CLAIMS
    if name == "pods" or key in _COMPUTE or key.startswith((_REQUESTS, _LIMITS, _HUGE_PAGES)):
        return PODS
    return None


def in_scope(requirement: Object, resource: GroupResource, obj: Object) -> bool:
    """Whether an object has what a scope of a quota asks for. Services have no scopes, and no other types have."""
    scope, operator = requirement.get("scopeName"), requirement.get("operator")
    spec = obj.get("spec") or {}
    if resource == CLAIMS and scope == "VolumeAttributesClass":
        return _is_one(_attribute_classes(obj), operator, requirement.get("values") or ())
    if resource != PODS:
        return False
    match scope:
        case "Terminating":
            return _ends(spec)
        case "NotTerminating":
            return not _ends(spec)
        case "BestEffort":
            return quality_of_service(spec) == "BestEffort"
        case "NotBestEffort":
            return quality_of_service(spec) != "BestEffort"
        case "PriorityClass":
            name = spec.get("priorityClassName") or ""
            return _is_one({name} - {""}, operator, requirement.get("values") or ())
        case "CrossNamespacePodAffinity":
            return _looks_elsewhere(spec)
        case _:
            return False


def _ends(spec: Object) -> bool:
    return bool(spec.get("activeDeadlineSeconds", -1) >= 0)


def _attribute_classes(obj: Object) -> set[str]:
    status = obj.get("status") or {}
    names = (
        (obj.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return {name for name in names if name}


def _is_one(names: set[str], operator: str | None, values: Iterable[str]) -> bool:
    match operator:
        case "In":
            return not names.isdisjoint(values)
        case "NotIn":
            return names.isdisjoint(values)
        case "DoesNotExist":
            return not names
        case _:
            return bool(names)


def _looks_elsewhere(spec: Object) -> bool:
    """Whether an affinity of a Pod is about Pods of other namespaces."""
    affinity = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(name) or {}
        terms = list(rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        preferred = rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        terms += [each.get("podAffinityTerm") or {} for each in preferred]
        if any(term.get("namespaces") or "namespaceSelector" in term for term in terms):
            return True
    return False


def unspecified(keys: Iterable[str], obj: Object) -> str:
    """What the containers of a Pod have to say because a quota counts it, and do not: `must specify cpu for: a,b`. Empty if they
    say it all, or if the Pod says it for them."""
    spec = obj.get("spec") or {}
    own = spec.get("resources") or {}
    if own.get("requests") or own.get("limits"):
        return ""
    wanted = TO_SPECIFY.intersection(keys)
    lacking: dict[str, set[str]] = {}
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        for key in wanted:
            side = "limits" if key.startswith(_LIMITS) else "requests"
            if key.removeprefix(f"{side}.") not in (resources.get(side) or {}):
                lacking.setdefault(key, set()).add(container.get("name") or "")
    if not lacking:
        return ""
    return "must specify " + "; ".join(f"{key} for: {','.join(sorted(lacking[key]))}" for key in sorted(lacking))
