"""What LimitRanges set in Pods, and what they allow Pods and PersistentVolumeClaims (Kubernetes' plugin LimitRanger)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any

from tenantry.kube.objects import GroupResource, Object, annotations_of
from tenantry.kube.quantity import parse
from tenantry.kube.workloads.pod_resources import pod_amounts
from tenantry.kube.workloads.usage import CLAIMS, PODS

ANNOTATION = "kubernetes.io/limit-ranger"
_MILLI = Decimal("0.001")
_BOUNDS = ("min", "max", "maxLimitRequestRatio")
_START = 3
"""An amount of an init container is that much more work to add: it is needed beside the sidecars before it."""
Amounts = Mapping[str, str]


def set_defaults(limit_range: Object, pod: Object) -> None:
    """Sets the limits and requests that containers do not have. Changes `pod`."""
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for item in _items(limit_range):
        if _of_containers(item):
            limits |= item.get("default") or {}
            requests |= item.get("defaultRequest") or {}
    if not limits and not requests:
        return
    done: list[str] = []
    spec = pod.get("spec") or {}
    for field, what in (("containers", "container"), ("initContainers", "init container")):
        for container in spec.get(field) or ():
            done += _fill(container, requests, limits, what)
    if done:
        pod["metadata"]["annotations"] = annotations_of(pod) | {ANNOTATION: "LimitRanger plugin set: " + "; ".join(done)}


def steps(limit_ranges: Sequence[Object], resource: GroupResource, obj: Object) -> int:
    """How many amounts are looked at to hold an object against LimitRanges: those for containers once for each of them, and those
    of the containers once where a LimitRange is about what they have together."""
    spec = obj.get("spec") or {}
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())] if resource == PODS else []
    items = [item for limit_range in limit_ranges for item in _items(limit_range)]
    counted = 0
    for item in items:
        amounts = 1 + sum(len(each) for each in item.values() if isinstance(each, dict))
        counted += amounts * (len(containers) if _of_containers(item) else 1)
    if any(item.get("type") == "Pod" for item in items):
        for field, weight in (("containers", 1), ("initContainers", _START)):
            counted += weight * sum(1 + len(amounts) for each in spec.get(field) or () for amounts in _sides(each))
    return counted


def _sides(container: Object) -> tuple[Amounts, Amounts]:
    resources = container.get("resources") or {}
    return resources.get("requests") or {}, resources.get("limits") or {}


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


def refusals(limit_ranges: Sequence[Object], resource: GroupResource, obj: Object) -> list[str]:
    """Why the first LimitRange that does not allow an object does not, in upstream's words."""
    spec = obj.get("spec") or {}
    together = _together(limit_ranges, spec) if resource == PODS else ({}, {})
    held = _Comparison()
    for limit_range in limit_ranges:
        found = list(dict.fromkeys(_refusals(held, limit_range, resource, spec, together)))
        if found:
            return found
    return []


def _together(limit_ranges: Sequence[Object], spec: Object) -> tuple[Amounts, Amounts]:
    """What the containers of a Pod request and are limited to together, of all resources that LimitRanges are about: they are
    added once, because a Pod and the LimitRanges of a namespace may be very many."""
    items = [item for limit_range in limit_ranges for item in _items(limit_range) if item.get("type") == "Pod"]
    names = {name for item in items for bound in _BOUNDS for name in item.get(bound) or ()}
    if not names:
        return {}, {}
    whole = {name: value for name, value in spec.items() if name != "overhead"}
    return pod_amounts(whole, "requests", names), pod_amounts(whole, "limits", names)


def _refusals(
    held: _Comparison, limit_range: Object, resource: GroupResource, spec: Object, together: tuple[Amounts, Amounts]
) -> Iterator[str]:
    for item in _items(limit_range):
        of = item.get("type") or ""
        if resource == PODS and of == "Container":
            for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
                yield from held.bounds(item, *_sides(container))
        elif resource == PODS and of == "Pod":
            yield from held.bounds(item, *together)
        elif resource == CLAIMS and of == "PersistentVolumeClaim":
            requests, _ = _sides(spec)
            yield from filter(None, (held.below(of, name, amount, requests, {}) for name, amount in _of(item, "min")))
            yield from filter(None, (held.above(of, name, amount, requests, "request") for name, amount in _of(item, "max")))


def _of(item: Object, bound: str) -> Iterable[tuple[str, str]]:
    return sorted((item.get(bound) or {}).items())


class _Comparison:
    """Compares amounts. Each is read once, because one may be compared for very many containers."""

    def __init__(self) -> None:
        self._values: dict[str, Decimal] = {}

    def _value(self, amount: str) -> Decimal:
        value = self._values.get(amount)
        if value is None:
            value = self._values[amount] = _value(amount)
        return value

    def bounds(self, item: Object, requests: Amounts, limits: Amounts) -> Iterator[str]:
        of = item.get("type") or ""
        for name, amount in _of(item, "min"):
            yield from filter(None, (self.below(of, name, amount, requests, limits),))
        for name, amount in _of(item, "max"):
            text = self.above(of, name, amount, limits, "limit")
            if not text and name in requests and self._value(requests[name]) > self._value(amount):
                text = f"maximum {name} usage per {of} is {amount}, but request is {requests[name]}"
            yield from filter(None, (text,))
        for name, amount in _of(item, "maxLimitRequestRatio"):
            yield from filter(None, (self.ratio(of, name, amount, requests, limits),))

    def below(self, of: str, name: str, amount: str, requests: Amounts, limits: Amounts) -> str:
        text = f"minimum {name} usage per {of} is {amount}"
        if name not in requests:
            return f"{text}.  No request is specified"
        if self._value(requests[name]) < self._value(amount):
            return f"{text}, but request is {requests[name]}"
        if name in limits and self._value(limits[name]) < self._value(amount):
            return f"{text}, but limit is {limits[name]}"
        return ""

    def above(self, of: str, name: str, amount: str, amounts: Amounts, side: str) -> str:
        text = f"maximum {name} usage per {of} is {amount}"
        if name not in amounts:
            return f"{text}.  No {side} is specified"
        return f"{text}, but {side} is {amounts[name]}" if self._value(amounts[name]) > self._value(amount) else ""

    def ratio(self, of: str, name: str, amount: str, requests: Amounts, limits: Amounts) -> str:
        text = f"{name} max limit to request ratio per {of} is {amount}"
        for side, amounts in (("request", requests), ("limit", limits)):
            if not self._value(amounts.get(name, "0")):
                return f"{text}, but no {side} is specified or {side} is 0"
        ratio = float(self._value(limits[name])) / float(self._value(requests[name]))
        return f"{text}, but provided ratio is {ratio:f}" if ratio > float(self._value(amount)) else ""


def _value(amount: Any) -> Decimal:
    """An amount in thousandths, rounded up, as upstream compares them."""
    value = parse(amount)
    return value.quantize(_MILLI, rounding=ROUND_CEILING) if value < 10**15 else value
