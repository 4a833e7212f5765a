"""Validates Nodes, and classes of Pods."""

from __future__ import annotations

from tenantry.kube.field_errors import IMMUTABLE, duplicate, forbidden, invalid, required, while_few
from tenantry.kube.label_selector_validation import label_errors
from tenantry.kube.names import dns1123_label_errors, label_value_errors, qualified_name_errors
from tenantry.kube.objects import Object, name_of
from tenantry.kube.quantity import parse
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import NOT_NEGATIVE, items, network, one_of
from tenantry.kube.workloads.validation.resources import resource_errors
from tenantry.kube.workloads.validation.scheduling import EFFECTS, toleration_errors

_PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
_USER_PRIORITY_MAX = 1_000_000_000
_SYSTEM_PREFIX = "system-"
_SYSTEM_CLASSES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def node_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    errors: list[FieldError] = []
    seen: set[tuple[str, str]] = set()
    # Upstream names the metadata.
    for here, taint in while_few(errors, items(spec, "taints", "metadata")):
        key, value = taint.get("key") or "", taint.get("value") or ""
        errors += [invalid(f"{here}.key", key, text) for text in qualified_name_errors(key)]
        errors += [invalid(f"{here}.value", value, text) for text in label_value_errors(value)]
        errors += one_of(taint.get("effect"), f"{here}.effect", EFFECTS, missing="")
        place = (key, taint.get("effect") or "")
        if place in seen:
            shown = {"Key": key, "Value": value, "Effect": place[1], "TimeAdded": None}
            text = f"{duplicate(here, shown).text}: taints must be unique by key and effect pair"
            errors.append(FieldError("Duplicate", here, text))
        seen.add(place)
    for index, each in enumerate(spec.get("podCIDRs") or ()):
        errors += network(each, f"spec.podCIDRs[{index}]")
    for name in ("capacity", "allocatable"):
        for resource, amount in (obj.get("status") or {}).get(name, {}).items() if old is None else ():
            if parse(amount) < 0:
                errors.append(invalid(f"status.{name}.{resource}", amount, NOT_NEGATIVE))
    if old is not None:
        before = old["spec"]
        for name in ("podCIDR", "podCIDRs", "providerID"):
            if before.get(name) and spec.get(name) != before[name]:
                errors.append(forbidden(f"spec.{name}", "node updates may not change " + name + ' except from "" to valid'))
    return errors


def drop_configuration(obj: Object, old: Object | None = None) -> None:
    obj["spec"].pop("configSource", None)


def normalise_node(obj: Object) -> None:
    """The one network of older clients and the list of networks agree. What configured kubelets once is dropped."""
    spec = obj["spec"]
    drop_configuration(obj)
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs") and not spec.get("podCIDR"):
        spec["podCIDR"] = spec["podCIDRs"][0]


def priority_class_errors(obj: Object, old: Object | None) -> list[FieldError]:
    name, value = name_of(obj), obj.get("value", 0)
    errors: list[FieldError] = []
    if name.startswith(_SYSTEM_PREFIX):
        known = _SYSTEM_CLASSES.get(name)
        problem = f"{name} is not a known system priority class"
        if known is not None and value != known:
            problem = f"value of {name} PriorityClass must be {known}"
        if known is None or value != known:
            text = f"priority class names with '{_SYSTEM_PREFIX}' prefix are reserved for system use only. error: {problem}"
            errors.append(forbidden("metadata.name", text))
    elif value > _USER_PRIORITY_MAX:
        errors.append(forbidden("value", f"maximum allowed value of a user defined priority is {_USER_PRIORITY_MAX}"))
    errors += one_of(obj.get("preemptionPolicy"), "preemptionPolicy", _PREEMPTION_POLICIES)
    if old is not None:
        if value != old.get("value", 0):
            errors.append(forbidden("value", "may not be changed in an update."))
        if obj.get("preemptionPolicy") != old.get("preemptionPolicy"):
            errors.append(invalid("preemptionPolicy", obj.get("preemptionPolicy"), IMMUTABLE))
    return errors


def runtime_class_errors(obj: Object, old: Object | None) -> list[FieldError]:
    handler = obj.get("handler") or ""
    errors = [required("handler")]
    if handler:
        errors = [
            invalid("handler", handler, text.replace("63 characters", "63 bytes")) for text in dns1123_label_errors(handler)
        ]
    fixed = (obj.get("overhead") or {}).get("podFixed") or {}
    errors += resource_errors({"limits": fixed}, "overhead")
    scheduling = obj.get("scheduling") or {}
    errors += label_errors(scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector")
    errors += toleration_errors(scheduling, "scheduling")
    if old is not None and handler != old.get("handler"):
        errors.append(invalid("handler", None, IMMUTABLE))
    return errors
