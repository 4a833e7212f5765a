"""Validates HorizontalPodAutoscalers (pkg/apis/autoscaling/validation). Errors that upstream's declarative validation finds come
last."""

from __future__ import annotations

from tenantry.kube.field_errors import forbidden, invalid, not_supported, required, while_few
from tenantry.kube.names import path_segment_errors
from tenantry.kube.objects import Object
from tenantry.kube.quantity import parse
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import NOT_NEGATIVE, all_not_negative, items, label, not_negative
from tenantry.kube.workloads.validation.resources import name_errors

_WINDOW_SECONDS_MAX, _PERIOD_SECONDS_MAX = 3600, 1800
_SOURCES = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}
_LOOKED_AT = ("object", "external", "pods", "resource", "containerResource")
"""The sources in the order in which the first one of several is looked at."""
_SELECT_POLICIES = ("Disabled", "Max", "Min")
_POLICIES = ("Percent", "Pods")
_TARGETS = ("Utilization", "Value", "AverageValue")


def autoscaler_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates an object of autoscaling/v2."""
    spec, before = obj["spec"], old["spec"] if old is not None else {}
    smallest, largest = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    errors: list[FieldError] = []
    if smallest is not None and largest < smallest:
        errors.append(invalid("spec.maxReplicas", largest, "must be greater than or equal to `minReplicas`"))
    errors += _target_errors(spec, before)
    has_other = False
    known = any(_has_invalid_version(each) for each in before.get("metrics") or ())
    for here, metric in while_few(errors, items(spec, "metrics", "spec")):
        has_other = has_other or metric.get("type") in ("External", "Object")
        errors += _metric_errors(metric, here, any_version=known)
    if smallest == 0 and not has_other:
        text = "must specify at least one Object or External metric to support scaling to zero replicas"
        errors.append(forbidden("spec.metrics", text))
    for name in ("scaleUp", "scaleDown"):
        errors += _rules_errors((spec.get("behavior") or {}).get(name), f"spec.behavior.{name}")
    if smallest is not None and smallest < 0:
        errors.append(invalid("spec.minReplicas", smallest, NOT_NEGATIVE))
    if largest < 0:
        errors.append(invalid("spec.maxReplicas", largest, "must be greater than or equal to 1"))
    return errors if largest else [*errors, required("spec.maxReplicas")]


def autoscaler_status_errors(obj: Object, old: Object | None) -> list[FieldError]:
    status = obj.get("status") or {}
    errors: list[FieldError] = []
    for here, condition in while_few(errors, items(status, "conditions", "status")):
        errors += not_negative(condition.get("observedGeneration"), f"{here}.observedGeneration")
    return errors + all_not_negative(status, "status", "currentReplicas", "desiredReplicas")


def _target_errors(spec: Object, before: Object) -> list[FieldError]:
    target, known = spec.get("scaleTargetRef") or {}, before.get("scaleTargetRef")
    kind, version = target.get("kind") or "", target.get("apiVersion") or ""
    if known is not None and (known.get("kind") or "", known.get("apiVersion") or "") == (kind, version):
        version = None
    return _reference_errors(target, "spec.scaleTargetRef", version, core=kind == "ReplicationController")


def _reference_errors(reference: Object, path: str, version: str | None, *, core: bool) -> list[FieldError]:
    """`version`: the apiVersion, None where it does not matter. `core`: it may lack a group."""
    errors: list[FieldError] = []
    for name in ("kind", "name"):
        value = reference.get(name) or ""
        errors += [invalid(f"{path}.{name}", value, text) for text in path_segment_errors(value)]
        if not value:
            errors.append(required(f"{path}.{name}"))
    problem = None if version is None else _version_problem(version, core=core)
    return errors if problem is None else [*errors, invalid(f"{path}.apiVersion", version, problem)]


def _version_problem(version: str, *, core: bool) -> str | None:
    if version.count("/") > 1:
        return f"unexpected GroupVersion string: {version}"
    group = version.partition("/")[0] if "/" in version else ""
    return None if group or core else "apiVersion must specify API group"


def _has_invalid_version(metric: Object) -> bool:
    about = (metric.get("object") or {}).get("describedObject") or {}
    return metric.get("type") == "Object" and _version_problem(about.get("apiVersion") or "", core=True) is not None


def _rules_errors(rules: Object | None, path: str) -> list[FieldError]:
    if rules is None:
        return []
    errors: list[FieldError] = []
    seconds, chosen = rules.get("stabilizationWindowSeconds"), rules.get("selectPolicy")
    if seconds is not None and seconds < 0:
        errors.append(invalid(f"{path}.stabilizationWindowSeconds", seconds, "must be greater than or equal to zero"))
    if seconds is not None and seconds > _WINDOW_SECONDS_MAX:
        text = f"must be less than or equal to {_WINDOW_SECONDS_MAX}"
        errors.append(invalid(f"{path}.stabilizationWindowSeconds", seconds, text))
    if chosen is not None and chosen not in _SELECT_POLICIES:
        errors.append(not_supported(f"{path}.selectPolicy", chosen, _SELECT_POLICIES))
    if not rules.get("policies"):
        errors.append(required(f"{path}.policies", "must specify at least one Policy"))
    for here, policy in while_few(errors, items(rules, "policies", path)):
        errors += _policy_errors(policy, here)
    if rules.get("tolerance") is not None and parse(rules["tolerance"]) < 0:
        errors.append(invalid(f"{path}.tolerance", rules["tolerance"], NOT_NEGATIVE))
    return errors


def _policy_errors(policy: Object, path: str) -> list[FieldError]:
    of, period = policy.get("type") or "", policy.get("periodSeconds", 0)
    errors = [] if of in _POLICIES else [not_supported(f"{path}.type", of, _POLICIES)]
    amounts = ((name, policy.get(name, 0)) for name in ("value", "periodSeconds"))
    errors += [invalid(f"{path}.{name}", amount, "must be greater than zero") for name, amount in amounts if amount <= 0]
    if period > _PERIOD_SECONDS_MAX:
        errors.append(invalid(f"{path}.periodSeconds", period, f"must be less than or equal to {_PERIOD_SECONDS_MAX}"))
    return errors


def _metric_errors(metric: Object, path: str, *, any_version: bool) -> list[FieldError]:
    of = metric.get("type") or ""
    errors = [] if of else [required(f"{path}.type", "must specify a metric source type")]
    wanted = _SOURCES.get(of)
    if wanted is None:
        errors.append(not_supported(f"{path}.type", of, sorted(_SOURCES)))
    present = [name for name in _LOOKED_AT if metric.get(name) is not None]
    for name in present[:1]:
        errors += _source_errors(name, metric[name], f"{path}.{name}", any_version=any_version)
    if wanted is not None and metric.get(wanted) is None:
        errors.append(required(f"{path}.{wanted}", "must populate information for the given metric source"))
    if len(present) > 1:
        text = "must populate the given metric source only"
        errors += [forbidden(f"{path}.{name}", text) for name in present if name != wanted]
    return errors


def _source_errors(of: str, source: Object, path: str, *, any_version: bool) -> list[FieldError]:
    target = source.get("target") or {}
    value, average, used = (target.get(name) for name in ("value", "averageValue", "averageUtilization"))
    errors: list[FieldError] = []
    if of in ("resource", "containerResource"):
        errors += _resource_errors(source, path, of_container=of == "containerResource")
        errors += _amount_errors(target, f"{path}.target")
        if used is None and average is None:
            text = "must set either a target raw value or a target utilization"
            errors.append(required(f"{path}.target.averageUtilization", text))
        if used is not None and average is not None:
            text = "may not set both a target raw value and a target utilization"
            errors.append(forbidden(f"{path}.target.averageValue", text))
        return errors
    if of == "object":
        about = source.get("describedObject") or {}
        version = None if any_version else about.get("apiVersion") or ""
        errors += _reference_errors(about, f"{path}.describedObject", version, core=True)
    name = (source.get("metric") or {}).get("name") or ""
    errors += [invalid(f"{path}.metric.name", name, text) for text in path_segment_errors(name)]
    if not name:
        errors.append(required(f"{path}.metric.name", "must specify a metric name"))
    errors += _amount_errors(target, f"{path}.target")
    if of == "pods":
        missing = "must specify a positive target averageValue" if average is None else ""
    else:
        missing = _NO_AMOUNT[of] if value is None and average is None else ""
    if missing:
        errors.append(required(f"{path}.target.averageValue", missing))
    if of == "external" and value is not None and average is not None:
        text = "may not set both a target value for metric and a per-pod target"
        errors.append(forbidden(f"{path}.target.value", text))
    return errors


_NO_AMOUNT = {
    "object": "must set either a target value or averageValue",
    "external": "must set either a target value for metric or a per-pod target",
}


def _resource_errors(source: Object, path: str, *, of_container: bool) -> list[FieldError]:
    name, container = source.get("name") or "", source.get("container") or ""
    errors = [] if name else [required(f"{path}.name", "must specify a resource name")]
    if not of_container:
        return errors
    errors += [invalid(f"{path}.name", name, text) for text in (name_errors(name) if name else ())]
    if not container:
        return [*errors, required(f"{path}.container", "must specify a container")]
    return errors + label(container, f"{path}.container")


def _amount_errors(target: Object, path: str) -> list[FieldError]:
    kind, used = target.get("type") or "", target.get("averageUtilization")
    errors = [] if kind else [required(f"{path}.type", "must specify a metric target type")]
    if kind not in _TARGETS:
        errors.append(invalid(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue"))
    errors += [
        invalid(f"{path}.{name}", target[name], "must be positive")
        for name in ("value", "averageValue")
        if target.get(name) is not None and parse(target[name]) <= 0
    ]
    if used is not None and used < 1:
        errors.append(invalid(f"{path}.averageUtilization", used, "must be greater than 0"))
    return errors
