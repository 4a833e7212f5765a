"""What LimitRanges set in Pods, and what they allow Pods and PersistentVolumeClaims (Kubernetes' plugin LimitRanger)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

from tenantry.kube.objects import GroupResource, Object, annotations_of
from tenantry.kube.quantity import parse
from tenantry.kube.workloads.pod_resources import pod_amounts
from tenantry.kube.workloads.usage import CLAIMS, PODS

ANNOTATION = "kubernetes.io/limit-ranger"
_MILLI = Decimal("0.001")
_BOUNDS = ("min", "max", "maxLimitRequestRatio")
Amounts = Mapping[str, str]


def set_defaults(limit_range: Object, pod: Object) -> None:
    """Sets the limits and requests that containers do not have. Changes `pod`."""
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for item in _items(limit_range):
        if _of_containers(item):
            limits |= item.get("default") or {}
            requests |= item.get("defaultRequest") or {}
    done: list[str] = []
    spec = pod.get("spec") or {}
    for field, what in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            done += _fill(container, requests, limits, what)
    if done:
        pod["metadata"]["annotations"] = annotations_of(pod) | {ANNOTATION: "LimitRanger plugin set: " + "; ".join(done)}


def steps(limit_range: Object, resource: GroupResource, obj: Object) -> int:
    """How many amounts of a LimitRange are looked at for an object: those for containers once for each of them."""
    spec = obj.get("spec") or {}
    containers = len(spec.get("containers") or ()) + len(spec.get("initContainers") or ()) if resource == PODS else 1
    return sum(
        sum(len(amounts) for amounts in item.values() if isinstance(amounts, dict)) * (containers if _of_containers(item) else 1)
        for item in _items(limit_range)
    )


def _of_containers(item: Object) -> bool:
    return item.get("type") == "Container"


def _items(limit_range: Object) -> list[Object]:
    return (limit_range.get("spec") or {}).get("limits") or []


def _fill(container: Object, requests: Amounts, limits: Amounts, what: str) -> Iterator[str]:
    resources = container.setdefault("resources", {})
    for side, defaults, word in (("requests", requests, "request"), ("limits", limits, "limit")):
        own = resources.get(side) or {}
        missing = {name: amount for name, amount in defaults.items() if name not in own}
        if missing:
            resources[side] = own | missing
            yield f"{', '.join(sorted(missing))} {word} for {what} {container.get('name', '')}"


def refusals(limit_range: Object, resource: GroupResource, obj: Object) -> list[str]:
    """Why a LimitRange does not allow an object, in upstream's words."""
    found: list[str] = []
    spec = obj.get("spec") or {}
    for item in _items(limit_range):
        of = item.get("type") or ""
        if resource == PODS and of == "Container":
            for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
                resources = container.get("resources") or {}
                found += _bounds(item, resources.get("requests") or {}, resources.get("limits") or {})
        elif resource == PODS and of == "Pod":
            whole = {name: value for name, value in spec.items() if name != "overhead"}
            names = {name for bound in _BOUNDS for name in item.get(bound) or ()}
            found += _bounds(item, pod_amounts(whole, "requests", names), pod_amounts(whole, "limits", names))
        elif resource == CLAIMS and of == "PersistentVolumeClaim":
            requests = (spec.get("resources") or {}).get("requests") or {}
            found += (text for name, amount in _of(item, "min") if (text := _below(of, name, amount, requests, {})))
            found += (text for name, amount in _of(item, "max") if (text := _above(of, name, amount, requests, "request")))
    return list(dict.fromkeys(found))


def _of(item: Object, bound: str) -> Iterable[tuple[str, str]]:
    return sorted((item.get(bound) or {}).items())


def _bounds(item: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
    of = item.get("type") or ""
    for name, amount in _of(item, "min"):
        yield from filter(None, (_below(of, name, amount, requests, limits),))
    for name, amount in _of(item, "max"):
        text = _above(of, name, amount, limits, "limit")
        if not text and name in requests and _value(requests[name]) > _value(amount):
            text = f"maximum {name} usage per {of} is {amount}, but request is {requests[name]}"
        yield from filter(None, (text,))
    for name, amount in _of(item, "maxLimitRequestRatio"):
        yield from filter(None, (_ratio(of, name, amount, requests, limits),))


def _below(of: str, name: str, amount: str, requests: Amounts, limits: Amounts) -> str:
    text = f"minimum {name} usage per {of} is {amount}"
    if name not in requests:
        return f"{text}.  No request is specified"
    if _value(requests[name]) < _value(amount):
        return f"{text}, but request is {requests[name]}"
    if name in limits and _value(limits[name]) < _value(amount):
        return f"{text}, but limit is {limits[name]}"
    return ""


def _above(of: str, name: str, amount: str, amounts: Amounts, side: str) -> str:
    text = f"maximum {name} usage per {of} is {amount}"
    if name not in amounts:
        return f"{text}.  No {side} is specified"
    return f"{text}, but {side} is {amounts[name]}" if _value(amounts[name]) > _value(amount) else ""


def _ratio(of: str, name: str, amount: str, requests: Amounts, limits: Amounts) -> str:
    text = f"{name} max limit to request ratio per {of} is {amount}"
    for side, amounts in (("request", requests), ("limit", limits)):
        if not _value(amounts.get(name, "0")):
            return f"{text}, but no {side} is specified or {side} is 0"
    ratio = float(_value(limits[name])) / float(_value(requests[name]))
    return f"{text}, but provided ratio is {ratio:f}" if ratio > float(_value(amount)) else ""


def _value(amount: Any) -> Decimal:
    """An amount in thousandths, rounded up, as upstream compares them."""
    return parse(amount).quantize(_MILLI, rounding=ROUND_CEILING) if parse(amount) < 10**15 else parse(amount)
