"""Validates Nodes, and classes of Pods."""

from __future__ import annotations

from ipaddress import ip_network

from tenantry.kube.field_errors import IMMUTABLE, VALUE_CHARACTERS, duplicate, forbidden, internal, invalid, required, while_few
from tenantry.kube.label_selector_validation import label_errors
from tenantry.kube.names import dns1123_label_errors, label_value_errors, qualified_name_errors
from tenantry.kube.objects import Object, name_of
from tenantry.kube.quantity import parse
from tenantry.kube.status import FieldError, cut
from tenantry.kube.workloads.validation.checks import NOT_NEGATIVE, is_network, items, network, one_of
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
    for name in ("capacity", "allocatable"):
        for resource, amount in (obj.get("status") or {}).get(name, {}).items() if old is None else ():
            if parse(amount) < 0:
                errors.append(invalid(f"status.{name}.{resource}", amount, NOT_NEGATIVE))
    errors += _pod_network_errors(spec)
    return errors if old is None else errors + _node_update_errors(spec, old["spec"])


def _pod_network_errors(spec: Object) -> list[FieldError]:
    networks: list[str] = spec.get("podCIDRs") or []
    path = "spec.podCIDRs"
    errors: list[FieldError] = []
    for index, each in while_few(errors, enumerate(networks)):
        errors += network(each, f"{path}[{index}]")
    if len(networks) < 2:
        return errors
    bad = next(((index, each) for index, each in enumerate(networks) if not is_network(each)), None)
    if bad is not None:
        text = f"invalid CIDR[{bad[0]}]: <nil> (invalid CIDR address: {cut(bad[1], VALUE_CHARACTERS)})"
        errors.append(internal(path, f"invalid PodCIDRs. failed to check with dual stack with error:{text}"))
    families = {ip_network(each, strict=False).version for each in networks} if bad is None else set()
    if len(families) != 2 or len(networks) > 2:
        errors.append(invalid(path, networks, "may specify no more than one CIDR for each IP family"))
    return errors


def _node_update_errors(spec: Object, before: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    networks, known = spec.get("podCIDRs") or [], before.get("podCIDRs") or []
    if known:
        changed = len(networks) != len(known) or any(a != b for a, b in zip(networks, known, strict=True))
        if changed:
            errors.append(forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    provider, named = spec.get("providerID") or "", before.get("providerID") or ""
    if named and provider != named:
        text = f"field cannot be {'modified' if provider else 'cleared'} once set"
        errors.append(invalid("spec.providerID", None, text))
    if (spec.get("externalID") or "") != (before.get("externalID") or ""):
        errors.append(forbidden("spec.externalID", "may not be updated"))
    return errors


def normalise_node(obj: Object) -> None:
    """The one network of older clients and the list of networks agree, and the one is right where they do not. What configured
    kubelets is dropped."""
    spec = obj["spec"]
    spec.pop("configSource", None)
    (obj.get("status") or {}).pop("config", None)
    first, networks = spec.get("podCIDR") or "", spec.get("podCIDRs") or []
    if first and (not networks or networks[0] != first):
        spec["podCIDRs"] = [first]
    elif networks:
        spec["podCIDR"] = networks[0]


def update_node(obj: Object, old: Object) -> None:
    normalise_node(obj)


def priority_class_errors(obj: Object, old: Object | None) -> list[FieldError]:
    if old is not None:
        return _priority_update_errors(obj, old)
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
    return errors


def _priority_update_errors(obj: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    if obj.get("value", 0) != old.get("value", 0):
        errors.append(forbidden("value", "may not be changed in an update."))
    if obj.get("preemptionPolicy") != old.get("preemptionPolicy"):
        errors.append(invalid("preemptionPolicy", obj.get("preemptionPolicy"), IMMUTABLE))
    return errors


def runtime_class_errors(obj: Object, old: Object | None) -> list[FieldError]:
    handler = obj.get("handler") or ""
    wrong = [required("handler")]
    if handler:
        texts = (text.replace("63 characters", "63 bytes") for text in dns1123_label_errors(handler))
        wrong = [invalid("handler", handler, text) for text in texts]
    # Upstream finds these by declarative validation, which comes last and does not go on where the handler has changed.
    changed = old is not None and handler != (old.get("handler") or "")
    fixed = (obj.get("overhead") or {}).get("podFixed") or {}
    errors = (wrong if changed else []) + resource_errors({"limits": fixed}, "overhead")
    scheduling = obj.get("scheduling") or {}
    errors += label_errors(scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector")
    errors += toleration_errors(scheduling, "scheduling") + _repeated_tolerations(scheduling)
    return errors + ([invalid("handler", None, IMMUTABLE)] if changed else wrong)


def _repeated_tolerations(scheduling: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    seen: set[tuple[str, ...]] = set()
    for here, each in while_few(errors, items(scheduling, "tolerations", "scheduling")):
        key = tuple(each.get(name) or "" for name in ("key", "operator", "value", "effect"))
        if key in seen:
            shown = dict(zip(("Key", "Operator", "Value", "Effect"), key, strict=True))
            errors.append(duplicate(here, shown | {"TolerationSeconds": each.get("tolerationSeconds")}))
        seen.add(key)
    return errors
