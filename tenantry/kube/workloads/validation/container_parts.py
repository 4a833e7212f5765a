"""Validates parts that few containers have: restart rules, resizing, devices, and what ephemeral containers may not have."""

from __future__ import annotations

from collections.abc import Collection

from tenantry.kube.field_errors import duplicate, forbidden, invalid, not_supported, required, while_few
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import items, not_found

_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_RESTART_ACTIONS = ("Restart", "RestartAllContainers")
_OPERATORS = ("In", "NotIn")
_RULES_MAX, _CODES_MAX = 20, 255
_RESIZED = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")
_CLAIMS = ("persistentVolumeClaim", "ephemeral")
_NOT_IN_EPHEMERAL = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy", "restartPolicy")


def restart_errors(container: Object, path: str) -> list[FieldError]:
    """validateContainerRestartPolicy."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    errors: list[FieldError] = []
    if policy is None and rules:
        errors.append(required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used"))
    elif policy is not None and policy not in _RESTART_POLICIES:
        errors.append(not_supported(f"{path}.restartPolicy", policy, _RESTART_POLICIES))
    if len(rules) > _RULES_MAX:
        errors.append(_too_many(f"{path}.restartPolicyRules", len(rules), _RULES_MAX))
    for here, rule in while_few(errors, items(container, "restartPolicyRules", path)):
        action, codes = rule.get("action") or "", rule.get("exitCodes")
        if action not in _RESTART_ACTIONS:
            errors.append(not_supported(f"{here}.action", action, _RESTART_ACTIONS))
        if codes is None:
            errors.append(required(f"{here}.exitCodes", "must be specified"))
            continue
        operator, values = codes.get("operator") or "", codes.get("values") or ()
        if operator not in _OPERATORS:
            errors.append(not_supported(f"{here}.exitCodes.operator", operator, _OPERATORS))
        if len(values) > _CODES_MAX:
            errors.append(_too_many(f"{here}.exitCodes.values", len(values), _CODES_MAX))
    return errors


def _too_many(path: str, count: int, limit: int) -> FieldError:
    return FieldError("TooMany", path, f"Too many: {count}: must have at most {limit} items")


def resize_policy_errors(container: Object, path: str, of_pod: str) -> list[FieldError]:
    """validateResizePolicy. `of_pod`: the restart policy of the Pod. Upstream names the list, and an item only where it is
    repeated."""
    errors: list[FieldError] = []
    seen: set[str] = set()
    place = f"{path}.resizePolicy"
    for here, each in while_few(errors, items(container, "resizePolicy", path)):
        resource, policy = each.get("resourceName") or "", each.get("restartPolicy") or ""
        if resource in seen:
            errors.append(duplicate(here, resource))
        seen.add(resource)
        for value, supported in ((resource, _RESIZED), (policy, _RESIZE_POLICIES)):
            if not value:
                errors.append(required(place))
            elif value not in supported:
                errors.append(not_supported(place, value, supported))
        if of_pod == "Never" and policy != "NotRequired":
            errors.append(invalid(place, policy, "must be 'NotRequired' when pod `restartPolicy` is 'Never'"))
    return errors


def device_errors(container: Object, path: str, volumes: Collection[str], claims: Collection[str]) -> list[FieldError]:
    """ValidateVolumeDevices. `claims`: the volumes that are claims."""
    mounts = container.get("volumeMounts") or ()
    mounted, places = {each.get("name") or "" for each in mounts}, {each.get("mountPath") or "" for each in mounts}
    errors: list[FieldError] = []
    names: set[str] = set()
    paths: set[str] = set()
    for here, each in while_few(errors, items(container, "volumeDevices", path)):
        name, place = each.get("name") or "", each.get("devicePath") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        if name in names:
            errors.append(invalid(f"{here}.name", name, "must be unique"))
        if name in volumes and name not in claims:
            text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(invalid(f"{here}.name", name, text))
        if name not in volumes:
            errors.append(not_found(f"{here}.name", name))
        if not place:
            errors.append(required(f"{here}.devicePath"))
        if place in paths:
            errors.append(invalid(f"{here}.devicePath", place, "must be unique"))
        if ".." in place.split("/"):
            errors.append(invalid(f"{here}.devicePath", place, "can not contain backsteps ('..')"))
        else:
            paths.add(place)
        if name in mounted:
            errors.append(invalid(f"{here}.name", name, "must not already exist in volumeMounts"))
        if place in places:
            errors.append(invalid(f"{here}.devicePath", place, "must not already exist as a path in volumeMounts"))
        names.update([name] if name else ())
    return errors


def claims_of(spec: Object) -> frozenset[str]:
    """The names of the volumes of a Pod that are claims."""
    volumes = spec.get("volumes") or ()
    return frozenset(each.get("name") or "" for each in volumes if any(kind in each for kind in _CLAIMS))


def forbidden_in_ephemeral(container: Object, path: str) -> list[FieldError]:
    """What an ephemeral container has that it may not have."""
    text = "cannot be set for an Ephemeral Container"
    errors = [forbidden(f"{path}.{name}", text) for name in _NOT_IN_EPHEMERAL if container.get(name)]
    resources = container.get("resources") or {}
    if any(resources.get(name) for name in ("limits", "requests", "claims")):
        errors.append(forbidden(f"{path}.resources", text))
    for here, each in while_few(errors, items(container, "volumeMounts", path)):
        errors += [forbidden(f"{here}.{name}", text) for name in ("subPath", "subPathExpr") if each.get(name)]
    return errors
