"""HorizontalPodAutoscalers of autoscaling/v1, made of those of autoscaling/v2 and back (pkg/apis/autoscaling/v1/conversion.go).

v1 has one metric, the use of CPU. The others, the behavior and most of the status are JSON in annotations there. They have the
fields of v1 and Go's order, and the behavior has the names of Go's fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from tenantry.kube.go_decode import Mismatch, normaliser
from tenantry.kube.message_tables import Message
from tenantry.kube.objects import Object
from tenantry.kube.quantity import parse
from tenantry.kube.workloads.facts import messages

_PREFIX = "autoscaling.alpha.kubernetes.io/"
_METRICS, _CURRENT_METRICS = _PREFIX + "metrics", _PREFIX + "current-metrics"
_BEHAVIOR, _CONDITIONS = _PREFIX + "behavior", _PREFIX + "conditions"
_TOLERANCES = (_PREFIX + "scale-down-tolerance", _PREFIX + "scale-up-tolerance")
_ROUND_TRIP = (_METRICS, _CURRENT_METRICS, _BEHAVIOR, _CONDITIONS, *_TOLERANCES)
_DEFAULT_CPU_PERCENT = 80
_SCALARS = ("minReplicas", "maxReplicas", "scaleTargetRef")
_COUNTS = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
_RULES = ("StabilizationWindowSeconds", "SelectPolicy", "Policies", "Tolerance")
_HTML = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
"""What Go's encoder escapes."""


def to_v2(obj: Object) -> Object:
    """An object of v1 in the shape of v2. Annotations that are no JSON of their type are dropped, as upstream does. `obj` is not
    changed."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    metadata, said = _without_round_trip(obj["metadata"])
    cpu = spec.get("targetCPUUtilizationPercentage")
    own = [] if cpu is None else [_cpu(cpu)]
    metrics = _decoded(said.get(_METRICS), _message("v1.MetricSpec"))
    made: Object = {name: spec[name] for name in _SCALARS if name in spec}
    made["metrics"] = [*(_converted(each, _source_to_v2) for each in metrics or ()), *own] or [_cpu(_DEFAULT_CPU_PERCENT)]
    if behavior := _decoded_behavior(said.get(_BEHAVIOR)):
        made["behavior"] = behavior
    shown: Object = {name: status[name] for name in _COUNTS if name in status}
    current = _decoded(said.get(_CURRENT_METRICS), _message("v1.MetricStatus"))
    used = status.get("currentCPUUtilizationPercentage")
    if current is not None:
        shown["currentMetrics"] = [_converted(each, _current_to_v2) for each in current]
    elif used is not None:
        shown["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": used}}}]
    conditions = _decoded(said.get(_CONDITIONS), _message("v1.HorizontalPodAutoscalerCondition"))
    if conditions is not None:
        shown["conditions"] = conditions
    return _whole(obj, "autoscaling/v2", metadata, made, shown)


def to_v1(obj: Object) -> Object:
    """An object of v2 in the shape of v1. `obj` is not changed."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    metadata, _ = _without_round_trip(obj["metadata"])
    metrics, current = spec.get("metrics") or (), status.get("currentMetrics") or ()
    made: Object = {name: spec[name] for name in _SCALARS if name in spec}
    used = [amount for amount in map(_cpu_percent, metrics) if amount is not None]
    if used:
        made["targetCPUUtilizationPercentage"] = used[0]
    shown: Object = {name: status[name] for name in _COUNTS if name in status}
    now = [amount for amount in (_cpu_percent(each, "current") for each in current) if amount is not None]
    if now:
        shown["currentCPUUtilizationPercentage"] = now[-1]
    added: dict[str, str] = {}
    if others := [each for each in metrics if _cpu_percent(each) is None]:
        added[_METRICS] = _encoded((_converted(each, _source_to_v1) for each in others), _message("v1.MetricSpec"))
    if current:
        added[_CURRENT_METRICS] = _encoded((_converted(each, _current_to_v1) for each in current), _message("v1.MetricStatus"))
    if spec.get("behavior") is not None:
        added[_BEHAVIOR] = _json({way: _rules_of(spec["behavior"].get(_lower(way))) for way in ("ScaleUp", "ScaleDown")})
    if status.get("conditions"):
        added[_CONDITIONS] = _encoded(map(dict, status["conditions"]), _message("v1.HorizontalPodAutoscalerCondition"))
    if added:
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **added}
    return _whole(obj, "autoscaling/v1", metadata, made, shown)


def _message(name: str) -> Message:
    return messages()[f"autoscaling.{name}"]


def _whole(obj: Object, api_version: str, metadata: Object, spec: Object, status: Object) -> Object:
    made = {**obj, "apiVersion": api_version, "metadata": metadata, "spec": spec, "status": status}
    normaliser(_message(f"{api_version.rpartition('/')[2]}.HorizontalPodAutoscaler"))(made)
    return made


def _without_round_trip(metadata: Object) -> tuple[Object, Mapping[str, str]]:
    """Copies of the metadata without the annotations of this module, and all annotations."""
    annotations: Mapping[str, str] = metadata.get("annotations") or {}
    kept = {name: text for name, text in annotations.items() if name not in _ROUND_TRIP}
    made = {name: value for name, value in metadata.items() if name != "annotations"}
    if kept:
        made["annotations"] = kept
    return made, annotations


def _cpu(percent: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def _cpu_percent(metric: Object, where: str = "target") -> int | None:
    """The use of CPU that a metric of v2 is about; None where it is another one."""
    resource = metric.get("resource") or {}
    if metric.get("type") != "Resource" or resource.get("name") != "cpu":
        return None
    found: int | None = (resource.get(where) or {}).get("averageUtilization")
    return found


_SOURCES = ("object", "pods", "resource", "containerResource", "external")


def _converted(metric: Object, convert: Callable[[str, Object], Object]) -> Object:
    """A metric, or the status of one, with its sources converted."""
    made: Object = {"type": metric.get("type", "")}
    for name in _SOURCES:
        if metric.get(name) is not None:
            made[name] = convert(name, metric[name])
    return made


def _source_to_v2(of: str, source: Object) -> Object:
    if of in ("resource", "containerResource"):
        percent = source.get("targetAverageUtilization")
        target = {"type": "AverageValue" if percent is None else "Utilization"} | _named(
            source, averageValue="targetAverageValue", averageUtilization="targetAverageUtilization"
        )
        return _named(source, name="name", container="container") | {"target": target}
    if of == "pods":
        target = {"type": "AverageValue"} | _named(source, averageValue="targetAverageValue")
    elif of == "external":
        kind = "AverageValue" if source.get("targetValue") is None else "Value"
        target = {"type": kind} | _named(source, value="targetValue", averageValue="targetAverageValue")
    else:
        target = {"type": "Value"} | _named(source, value="targetValue")
        if source.get("averageValue") is not None:
            target = {"type": "AverageValue"} | _named(source, averageValue="averageValue")
            if parse(source["targetValue"]):
                # v1 cannot leave the value out.
                target["value"] = source["targetValue"]
    return _named(source, describedObject="target") | _identified(source) | {"target": target}


def _source_to_v1(of: str, source: Object) -> Object:
    target = source.get("target") or {}
    if of in ("resource", "containerResource"):
        return _named(source, name="name", container="container") | _named(
            target, targetAverageUtilization="averageUtilization", targetAverageValue="averageValue"
        )
    if of == "pods":
        return _identity(source) | _named(target, targetAverageValue="averageValue")
    if of == "external":
        selected = _identity(source, "metricSelector")
        return selected | _named(target, targetValue="value", targetAverageValue="averageValue")
    about = _named(source, target="describedObject")
    return about | _identity(source) | _named(target, targetValue="value", averageValue="averageValue")


def _current_to_v2(of: str, source: Object) -> Object:
    if of in ("resource", "containerResource"):
        current = _named(source, averageValue="currentAverageValue", averageUtilization="currentAverageUtilization")
        return _named(source, name="name", container="container") | {"current": current}
    if of == "pods":
        current = _named(source, averageValue="currentAverageValue")
    else:
        average = "currentAverageValue" if of == "external" else "averageValue"
        current = _named(source, value="currentValue", averageValue=average)
    return _named(source, describedObject="target") | _identified(source) | {"current": current}


def _current_to_v1(of: str, source: Object) -> Object:
    current = source.get("current") or {}
    if of in ("resource", "containerResource"):
        return _named(source, name="name", container="container") | _named(
            current, currentAverageUtilization="averageUtilization", currentAverageValue="averageValue"
        )
    if of == "pods":
        return _identity(source) | _named(current, currentAverageValue="averageValue")
    if of == "external":
        selected = _identity(source, "metricSelector")
        return selected | _named(current, currentValue="value", currentAverageValue="averageValue")
    about = _named(source, target="describedObject")
    return about | _identity(source) | _named(current, currentValue="value", averageValue="averageValue")


def _named(source: Object, **names: str) -> Object:
    """The fields of a struct that are there, by their new names."""
    return {new: source[old] for new, old in names.items() if source.get(old) is not None}


def _identified(source: Object) -> Object:
    """The `metric` of v2, of the fields of v1."""
    selector = "metricSelector" if "metricSelector" in source else "selector"
    return {"metric": {"name": source.get("metricName", "")} | _named(source, selector=selector)}


def _identity(source: Object, selector: str = "selector") -> Object:
    """The fields of v1, of the `metric` of v2."""
    metric = source.get("metric") or {}
    return {"metricName": metric.get("name", "")} | _named(metric, **{selector: "selector"})


def _rules_of(rules: Object | None) -> Object | None:
    if rules is None:
        return None
    made: Object = {name: rules.get(_lower(name)) for name in _RULES}
    if made["Policies"]:
        names = ("Type", "Value", "PeriodSeconds")
        made["Policies"] = [{name: policy.get(_lower(name)) for name in names} for policy in made["Policies"]]
    return made


def _decoded_behavior(text: str | None) -> Object | None:
    found = _read(text, _message("v2.HorizontalPodAutoscalerBehavior"), wraps=False)
    return None if found is None else found[0]


def _decoded(text: str | None, message: Message) -> list[Object] | None:
    """The structs of an annotation. None where it is no list of them."""
    return _read(text, message, wraps=True)


def _read(text: str | None, message: Message, *, wraps: bool) -> list[Object] | None:
    if text is None:
        return None
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    if found is None:
        return [] if wraps else None
    if type(found) is not (list if wraps else dict):
        return None
    made = [{} if each is None else _folded(each, message) for each in (found if wraps else [found])]
    try:
        for each in made:
            if type(each) is not dict:
                return None
            normaliser(message)(each)
    except Mismatch:
        return None
    return made


def _folded(value: Any, message: Message) -> Any:
    """A value with the names of its message's fields: Go's decoder takes them in any case."""
    if type(value) is not dict:
        return value
    fields = {item.name.lower(): item for item in message.fields}
    made: Object = {}
    for key, below in value.items():
        item = fields.get(key.lower())
        if item is None:
            continue
        inner = item.type.message
        if inner is not None and item.type.container == "list" and type(below) is list:
            below = [_folded(each, inner) for each in below]
        elif inner is not None and not item.type.container:
            below = _folded(below, inner)
        made[item.name] = below
    return made


def _encoded(structs: Iterable[Object], message: Message) -> str:
    made = []
    for each in structs:
        normaliser(message)(each)
        made.append(_in_order(each, message))
    return _json(made)


def _in_order(value: Object, message: Message) -> Object:
    """A struct as Go's encoder orders it: fields as they are declared, maps by key."""
    made: Object = {}
    for item in message.fields:
        if item.name not in value:
            continue
        below, inner = value[item.name], item.type.message
        if below is None or (inner is None and item.type.container != "map"):
            made[item.name] = below
        elif item.type.container == "map":
            made[item.name] = dict(sorted(below.items()))
        elif inner is not None and item.type.container == "list":
            made[item.name] = [_in_order(each, inner) for each in below]
        elif inner is not None:
            made[item.name] = _in_order(below, inner)
    return made


def _json(value: Any) -> str:
    return orjson.dumps(value).decode().translate(_HTML)


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]
