"""Validates types that make Pods and keep them, and those that are about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tenantry.kube.field_errors import IMMUTABLE, forbidden, invalid, not_supported, required, show, while_few
from tenantry.kube.go_values import internal_value
from tenantry.kube.label_selector_validation import label_selector_errors
from tenantry.kube.objects import Object, labels_of, name_of
from tenantry.kube.selectors.labels import from_object
from tenantry.kube.status import CAUSES_MAX, FieldError
from tenantry.kube.workloads.facts import messages
from tenantry.kube.workloads.validation.checks import (
    all_not_negative,
    amount,
    in_order,
    is_zero,
    items,
    label,
    member,
    not_negative,
    one_of,
    percent_at_most_100,
)
from tenantry.kube.workloads.validation.claims import claim_spec_errors
from tenantry.kube.workloads.validation.pods import template_errors

_MISMATCH = "`selector` does not match template `labels`"
_RETENTIONS = ("Retain", "Delete")


def selector_errors(spec: Object, kind: str) -> list[FieldError]:
    """The errors of a required label selector, which is not empty."""
    selector = spec.get("selector")
    if selector is None:
        return [required("spec.selector")]
    errors = label_selector_errors(selector, "spec.selector")
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        errors.append(invalid("spec.selector", selector, f"empty selector is invalid for {kind}"))
    return errors


def own_template_errors(spec: Object, kind: str, *, long_lived: bool = True) -> list[FieldError]:
    """The errors of the template of Pods. `long_lived`: they have to run forever."""
    template = spec.get("template") or {}
    labels = labels_of(template)
    errors = (
        []
        if _selects(spec.get("selector"), labels)
        else [invalid("spec.template.metadata.labels", in_order(labels) or None, _MISMATCH)]
    )
    errors += template_errors(template, "spec.template")
    pods = template.get("spec") or {}
    if long_lived and (pods.get("restartPolicy") or "Always") != "Always":
        errors.append(not_supported("spec.template.spec.restartPolicy", pods["restartPolicy"], ["Always"]))
    if long_lived and pods.get("activeDeadlineSeconds") is not None:
        text = f"activeDeadlineSeconds in {kind} is not Supported"
        errors.append(forbidden("spec.template.spec.activeDeadlineSeconds", text))
    return errors


def _selects(selector: Object | None, labels: Mapping[str, str]) -> bool:
    """Whether a selector matches labels. An invalid or empty one is another error."""
    if selector is None:
        return False
    try:
        parsed = from_object(selector)
    except ValueError:
        return True
    return parsed.is_everything or parsed.matches(labels)


def _immutable(obj: Object, old: Object | None, *names: str) -> list[FieldError]:
    if old is None:
        return []
    spec, before = obj["spec"], old["spec"]
    return [invalid(f"spec.{name}", spec.get(name), IMMUTABLE) for name in names if spec.get(name) != before.get(name)]


def deployment_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    errors = not_negative(spec.get("replicas"), "spec.replicas")
    errors += selector_errors(spec, "deployment")
    errors += _with_valid_selector(spec, own_template_errors(spec, "ReplicaSet"))
    errors += _deployment_strategy(spec.get("strategy") or {})
    errors += all_not_negative(spec, "spec", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None and deadline <= max(spec.get("minReadySeconds", 0), -1):
        errors.append(invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))
    return errors + _immutable(obj, old, "selector")


def _with_valid_selector(spec: Object, errors: list[FieldError], *, text: str = ": invalid label selector") -> list[FieldError]:
    selector = spec.get("selector")
    if selector is None:
        return errors
    try:
        from_object(selector)
    except ValueError:
        shown = show({name: selector[name] for name in ("matchLabels",) if name in selector} | _expressions(selector))
        return [FieldError("Invalid", "spec.selector", f"Invalid value: {shown}{text}")]
    return errors


def _expressions(selector: Object) -> Object:
    """The requirements of a selector, with their fields in the order of the type."""
    found = selector.get("matchExpressions")
    if not found:
        return {}
    names = ("key", "operator", "values")
    return {"matchExpressions": [{name: each[name] for name in names if name in each} for each in found]}


def _deployment_strategy(strategy: Object) -> list[FieldError]:
    of, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if of == "Recreate":
        text = "may not be specified when strategy `type` is 'Recreate'"
        return [forbidden("spec.strategy.rollingUpdate", text)] if rolling is not None else []
    if of != "RollingUpdate":
        return [not_supported("spec.strategy", _shown(strategy), ("Recreate", "RollingUpdate"))]
    path = "spec.strategy.rollingUpdate"
    if rolling is None:
        return [required(path, "this should be defaulted and never be nil")]
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = amount(unavailable, f"{path}.maxUnavailable") + amount(surge, f"{path}.maxSurge")
    if is_zero(unavailable) and is_zero(surge):
        errors.append(invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0"))
    return errors + percent_at_most_100(unavailable, f"{path}.maxUnavailable")


def _shown(strategy: Object) -> Object:
    """A strategy as upstream shows its internal type."""
    return {"Type": strategy.get("type") or "", "RollingUpdate": strategy.get("rollingUpdate")}


def replica_set_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    errors = all_not_negative(spec, "spec", "replicas", "minReadySeconds") + selector_errors(spec, "deployment")
    return errors + _with_valid_selector(spec, own_template_errors(spec, "ReplicaSet")) + _immutable(obj, old, "selector")


def daemon_set_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    errors = label_selector_errors(spec.get("selector") or {}, "spec.selector")
    if not _selects(spec.get("selector"), labels_of(spec.get("template") or {})):
        errors.append(
            invalid("spec.template.metadata.labels", in_order(labels_of(spec.get("template") or {})) or None, _MISMATCH)
        )
    if spec.get("selector") == {}:
        errors.append(invalid("spec.selector", {}, "empty selector is invalid for daemonset"))
    template = [e for e in own_template_errors(spec, "DaemonSet") if e.text.rpartition(": ")[2] != _MISMATCH]
    errors += template + all_not_negative(spec, "spec", "minReadySeconds")
    errors += _daemon_set_strategy(spec.get("updateStrategy") or {})
    errors += all_not_negative(spec, "spec", "revisionHistoryLimit")
    return _immutable(obj, old, "selector") + errors


def _daemon_set_strategy(strategy: Object) -> list[FieldError]:
    of, path = strategy.get("type"), "spec.updateStrategy.rollingUpdate"
    if of == "OnDelete":
        return []
    if of != "RollingUpdate":
        return [not_supported("spec.updateStrategy", _shown(strategy), ("RollingUpdate", "OnDelete"))]
    rolling = strategy.get("rollingUpdate") or {}
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    errors = amount(unavailable, f"{path}.maxUnavailable") + amount(surge, f"{path}.maxSurge")
    errors += percent_at_most_100(unavailable, f"{path}.maxUnavailable") + percent_at_most_100(surge, f"{path}.maxSurge")
    if not is_zero(unavailable) and not is_zero(surge):
        errors.append(invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero"))
    if is_zero(unavailable) and is_zero(surge):
        errors.append(required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0"))
    return errors


def stateful_set_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    errors: list[FieldError] = []
    policy = spec.get("podManagementPolicy") or ""
    if policy not in ("OrderedReady", "Parallel"):
        errors.append(invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"))
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "RollingUpdate":
        rolling, path = strategy.get("rollingUpdate") or {}, "spec.updateStrategy.rollingUpdate"
        errors += not_negative(rolling.get("partition"), f"{path}.partition")
        errors += amount(rolling.get("maxUnavailable"), f"{path}.maxUnavailable")
        errors += percent_at_most_100(rolling.get("maxUnavailable"), f"{path}.maxUnavailable")
        if rolling.get("maxUnavailable") is not None and is_zero(rolling["maxUnavailable"]):
            errors.append(invalid(f"{path}.maxUnavailable", rolling["maxUnavailable"], "cannot be 0"))
    elif strategy.get("type") == "OnDelete":
        if "rollingUpdate" in strategy:
            text = "only allowed for updateStrategy 'RollingUpdate'"
            errors.append(invalid("spec.updateStrategy.rollingUpdate", strategy["rollingUpdate"], text))
    else:
        errors.append(invalid("spec.updateStrategy", _shown(strategy), "must be 'RollingUpdate' or 'OnDelete'"))
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name in ("whenDeleted", "whenScaled"):
        errors += one_of(retention.get(name), f"spec.persistentVolumeClaimRetentionPolicy.{name}", _RETENTIONS)
    if old is None:
        for here, claim in while_few(errors, items(spec, "volumeClaimTemplates", "spec")):
            errors += claim_spec_errors(claim.get("spec") or {}, f"{here}.spec")
    errors += all_not_negative(spec, "spec", "replicas", "minReadySeconds")
    errors += not_negative((spec.get("ordinals") or {}).get("start"), "spec.ordinals.start")
    if old is None and spec.get("serviceName"):
        errors += label(spec["serviceName"], "spec.serviceName")
    errors += selector_errors(spec, "statefulset")
    errors += _with_valid_selector(spec, own_template_errors(_with_claims(spec), "StatefulSet"), text="")
    return errors if old is None else errors + _stateful_set_changes(obj, old)


def _stateful_set_changes(obj: Object, old: Object) -> list[FieldError]:
    errors = _immutable(obj, old, "selector")
    claims, before = obj["spec"].get("volumeClaimTemplates") or [], old["spec"].get("volumeClaimTemplates") or []
    if claims != before:
        claim = messages()["core.v1.PersistentVolumeClaim"]
        shown = [internal_value(claim, each) for each in claims[:CAUSES_MAX]]
        errors.append(invalid("spec.volumeClaimTemplates", shown or None, IMMUTABLE))
    return errors + _immutable(obj, old, "serviceName", "podManagementPolicy")


def _with_claims(spec: Object) -> Object:
    """The spec with a volume for each claim in the template, which containers may mount."""
    claims = list(dict.fromkeys(name_of(claim) for claim in spec.get("volumeClaimTemplates") or ()))
    if not claims:
        return spec
    template = spec.get("template") or {}
    pods = template.get("spec") or {}
    others = [volume for volume in pods.get("volumes") or () if volume.get("name") not in set(claims)]
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims] + others
    return {**spec, "template": {**template, "spec": {**pods, "volumes": volumes}}}


def replication_controller_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    errors = all_not_negative(spec, "spec", "minReadySeconds")
    selector: Mapping[str, str] = spec.get("selector") or {}
    if not selector:
        errors.append(required("spec.selector"))
    replicas = not_negative(spec.get("replicas"), "spec.replicas")
    template = spec.get("template")
    if template is None:
        return [*errors, required("spec.template"), *replicas]
    if selector and not selector.items() <= labels_of(template).items():
        errors.append(invalid("spec.template.metadata.labels", in_order(labels_of(template)) or None, _MISMATCH))
    chosen = {**spec, "selector": {}}
    errors += own_template_errors(chosen, "ReplicationController")
    return errors + replicas


def revision_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a ControllerRevision."""
    errors = not_negative(obj.get("revision"), "revision")
    data = obj.get("data")
    if old is not None:
        return errors if data == old.get("data") else [*errors, invalid("data", data, IMMUTABLE)]
    if data is None:
        errors.append(required("data", "data is mandatory"))
    elif not isinstance(data, dict):
        errors.append(required("data", "data must be a valid JSON object"))
    return errors


def budget_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a PodDisruptionBudget."""
    spec = obj["spec"]
    errors: list[FieldError] = []
    if "minAvailable" in spec and "maxUnavailable" in spec:
        shown = {
            "MinAvailable": spec["minAvailable"],
            "Selector": spec.get("selector"),
            "MaxUnavailable": spec["maxUnavailable"],
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        errors.append(invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
    for name in ("minAvailable", "maxUnavailable"):
        errors += amount(spec.get(name), f"spec.{name}") + percent_at_most_100(spec.get(name), f"spec.{name}")
    selector: Any = spec.get("selector")
    errors += label_selector_errors(selector, "spec.selector") if selector is not None else []
    policies: Sequence[str] = ("AlwaysAllow", "IfHealthyBudget")
    return errors + member(spec.get("unhealthyPodEvictionPolicy"), "spec.unhealthyPodEvictionPolicy", policies)
