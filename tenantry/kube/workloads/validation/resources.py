"""Validates what containers request and are limited to."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.kube.field_errors import invalid, required, while_few
from tenantry.kube.names import qualified_name_errors
from tenantry.kube.objects import Object
from tenantry.kube.quantity import parse
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.pod_resources import container_amounts
from tenantry.kube.workloads.validation.checks import NOT_NEGATIVE

_OF_CONTAINERS = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD = _OF_CONTAINERS | {
    "pods",
    "services",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "replicationcontrollers",
    "resourcequotas",
    "storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "limits.cpu",
    "limits.memory",
}
_HUGE_PAGES = "hugepages-"


def resource_errors(resources: Object, path: str) -> list[FieldError]:
    """The errors of a ResourceRequirements (ValidateContainerResourceRequirements)."""
    limits: Mapping[str, str] = resources.get("limits") or {}
    requests: Mapping[str, str] = resources.get("requests") or {}
    errors: list[FieldError] = []
    for name, amount in while_few(errors, limits.items()):
        errors += _amount_errors(name, amount, f"{path}.limits[{name}]")
    for name, amount in while_few(errors, requests.items()):
        errors += _amount_errors(name, amount, f"{path}.requests[{name}]")
        limit = limits.get(name)
        if limit is not None:
            if _is_whole(name) and parse(amount) != parse(limit):
                errors.append(invalid(f"{path}.requests", amount, f"must be equal to {name} limit of {limit}"))
            elif parse(amount) > parse(limit):
                errors.append(invalid(f"{path}.requests", amount, f"must be less than or equal to {name} limit of {limit}"))
        elif _is_whole(name):
            errors.append(required(f"{path}.limits", "Limit must be set for non overcommitable resources"))
    return errors


def pod_level_errors(spec: Object, path: str) -> list[FieldError]:
    """The errors of what a Pod requests and is limited to itself: its containers have to fit (ValidatePodResources)."""
    own = spec.get("resources") or {}
    if not own:
        return []
    errors = resource_errors(own, path)
    summed = container_amounts(spec, "requests")
    for name, amount in (own.get("requests") or {}).items():
        if name in summed and parse(amount) < parse(summed[name]):
            text = f"must be greater than or equal to aggregate container requests of {summed[name]}"
            errors.append(invalid(f"{path}.requests[{name}]", amount, text))
    limits: Mapping[str, str] = own.get("limits") or {}
    for index, container in while_few(errors, enumerate(spec.get("containers") or ())):
        for name, amount in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and parse(amount) > parse(limits[name]):
                text = f"must be less than or equal to pod limits of {limits[name]}"
                errors.append(invalid(f"{path}.containers[{index}][{name}].limits", amount, text))
    return errors


def _amount_errors(name: str, amount: str, path: str) -> list[FieldError]:
    errors = [invalid(path, name, text) for text in name_errors(name)]
    value = parse(amount)
    if value < 0:
        errors.append(invalid(path, amount, NOT_NEGATIVE))
    if _is_extended(name) and value != value.to_integral_value():
        errors.append(invalid(path, amount, "must be an integer"))
    return errors


def name_errors(name: str) -> list[str]:
    """The errors of the name of a resource of a container."""
    errors = qualified_name_errors(name)
    if "/" in name or name.startswith(_HUGE_PAGES) or name in _OF_CONTAINERS:
        return errors
    if not errors and name not in _STANDARD:
        errors.append("must be a standard resource type or fully qualified")
    return [*errors, "must be a standard resource for containers"]


def _is_extended(name: str) -> bool:
    return "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")


def _is_whole(name: str) -> bool:
    """Whether a resource cannot be promised to more containers than there is of it."""
    return _is_extended(name) or name.startswith(_HUGE_PAGES)
