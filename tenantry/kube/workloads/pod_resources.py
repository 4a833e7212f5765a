"""What a Pod requests and is limited to, of all its containers together (k8s.io/component-helpers/resource).

Containers run together, and so do init containers that restart (sidecars). Other init containers run one after another before
them. What the Pod itself says goes before what its containers add up to.
"""

from __future__ import annotations

import operator
from collections.abc import Container, Iterable, Mapping
from decimal import Decimal
from typing import Literal

from tenantry.kube.objects import Object
from tenantry.kube.quantity import exactly, parse, total

Side = Literal["requests", "limits"]
Amounts = dict[str, str]
_POD_LEVEL = ("cpu", "memory")
_HUGE_PAGES = "hugepages-"


def pod_amounts(spec: Object, side: Side, names: Container[str] | None = None) -> Amounts:
    """Resource → quantity, for the whole Pod. `names`: of these resources alone."""
    found = container_amounts(spec, side, names)
    own: Mapping[str, str] = (spec.get("resources") or {}).get(side) or {}
    found |= {name: amount for name, amount in _among(own, names) if is_pod_level(name)}
    overhead: Mapping[str, str] = spec.get("overhead") or {}
    for name, amount in _among(overhead, names):
        if name in found and (side == "requests" or parse(found[name])):
            found[name] = total((found[name], amount))
        elif side == "requests":
            found[name] = amount
    return found


def container_amounts(spec: Object, side: Side, names: Container[str] | None = None) -> Amounts:
    """Resource → quantity, of the containers of a Pod. `names`: of these resources alone.

    Each amount is looked at once, because a Pod may have very many: what a container does not name, it does not change.
    """
    running: dict[str, list[str]] = {}
    sidecars: dict[str, list[str]] = {}
    together: dict[str, Decimal] = {}
    """What the sidecars add up to."""
    largest: dict[str, tuple[Decimal, str, int]] = {}
    """What is needed while Pods start: the amount, that of an init container, and beside how many sidecars it is."""
    for container in spec.get("containers") or ():
        for name, amount in _among(_of(container, side), names):
            running.setdefault(name, []).append(amount)
    for container in spec.get("initContainers") or ():
        for name, amount in _among(_of(container, side), names):
            needed = exactly(operator.add, parse(amount), together.get(name, 0))
            beside = amount
            if container.get("restartPolicy") == "Always":
                running.setdefault(name, []).append(amount)
                sidecars.setdefault(name, []).append(amount)
                together[name] = needed
                beside = ""
            if name not in largest or needed > largest[name][0]:
                largest[name] = (needed, beside, len(sidecars.get(name, ())))
    out = {name: total(amounts) for name, amounts in running.items()}
    for name, (needed, beside, count) in largest.items():
        if name not in out or needed > parse(out[name]):
            out[name] = total([*([beside] if beside else []), *sidecars.get(name, [])[:count]])
    return out


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


def _among(amounts: Mapping[str, str], names: Container[str] | None) -> Iterable[tuple[str, str]]:
    """The amounts of some resources (None: of all)."""
    return amounts.items() if names is None else [(name, amounts[name]) for name in amounts if name in names]
