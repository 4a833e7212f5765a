"""What a Pod requests and is limited to, of all its containers together (k8s.io/component-helpers/resource).

Containers run together, and so do init containers that restart (sidecars). Other init containers run one after another before
them. What the Pod itself says goes before what its containers add up to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from tenantry.kube.objects import Object
from tenantry.kube.quantity import parse, total

Side = Literal["requests", "limits"]
Amounts = dict[str, str]
_POD_LEVEL = ("cpu", "memory")
_HUGE_PAGES = "hugepages-"


def pod_amounts(spec: Object, side: Side) -> Amounts:
    """Resource → quantity, for the whole Pod."""
    found = container_amounts(spec, side)
    own: Mapping[str, str] = (spec.get("resources") or {}).get(side) or {}
    found |= {name: amount for name, amount in own.items() if is_pod_level(name)}
    overhead: Mapping[str, str] = spec.get("overhead") or {}
    if side == "requests":
        return _sum(found, overhead)
    return {name: total((amount, overhead.get(name, "0"))) if parse(amount) else amount for name, amount in found.items()}


def container_amounts(spec: Object, side: Side) -> Amounts:
    """Resource → quantity, of the containers of a Pod."""
    running = _sum(*(_of(container, side) for container in spec.get("containers") or ()))
    sidecars: Amounts = {}
    starting: Amounts = {}
    for container in spec.get("initContainers") or ():
        own = _of(container, side)
        if container.get("restartPolicy") == "Always":
            running = _sum(running, own)
            own = sidecars = _sum(sidecars, own)
        else:
            own = _sum(own, sidecars)
        starting = _largest(starting, own)
    return _largest(running, starting)


def is_pod_level(resource: str) -> bool:
    """Whether a Pod may say an amount of a resource for all its containers."""
    return resource in _POD_LEVEL or resource.startswith(_HUGE_PAGES)


def default_pod_requests(spec: Object) -> None:
    """Fills in what a Pod that has requests or limits for all its containers does not say: what they request, else its limits,
    and what they are limited to, if each of them is. Changes `spec`."""
    resources = spec.get("resources")
    if not resources or not (resources.get("limits") or resources.get("requests")):
        return
    limits: Amounts = dict(resources.get("limits") or {})
    requests: Amounts = dict(resources.get("requests") or {})
    for name, amount in container_amounts(spec, "limits").items():
        if name.startswith(_HUGE_PAGES) and name not in requests:
            limits.setdefault(name, amount)
    for name, amount in container_amounts(spec, "requests").items():
        if name in _POD_LEVEL:
            requests.setdefault(name, amount)
    for name, amount in limits.items():
        if is_pod_level(name):
            requests.setdefault(name, amount)
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    for name, amount in container_amounts(spec, "limits").items():
        limited = all(name in _of(container, "limits") for container in containers)
        if limited and is_pod_level(name) and name in requests and parse(amount) >= parse(requests[name]):
            limits.setdefault(name, amount)
    for side, amounts in (("limits", limits), ("requests", requests)):
        if amounts:
            resources[side] = amounts


def quality_of_service(spec: Object) -> str:
    """The class of a Pod: Guaranteed, Burstable or BestEffort."""
    parts: Iterable[Object] = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    own = spec.get("resources") or {}
    if own.get("requests") or own.get("limits"):
        parts = [{"resources": own}]
    named = False
    guaranteed = True
    for part in parts:
        requests, limits = _of(part, "requests"), _of(part, "limits")
        for name in _POD_LEVEL:
            request, limit = parse(requests.get(name, "0")), parse(limits.get(name, "0"))
            named = named or bool(request or limit)
            guaranteed = guaranteed and bool(limit) and request == limit
    if not named:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _of(container: Object, side: Side) -> Amounts:
    return (container.get("resources") or {}).get(side) or {}


def _sum(*parts: Mapping[str, str]) -> Amounts:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: total(part[name] for part in parts if name in part) for name in names}


def _largest(left: Mapping[str, str], right: Mapping[str, str]) -> Amounts:
    out = dict(left)
    for name, amount in right.items():
        if name not in out or parse(amount) > parse(out[name]):
            out[name] = amount
    return out
