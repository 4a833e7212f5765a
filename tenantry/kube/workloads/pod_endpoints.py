"""What `/ephemeralcontainers` and `/resize` of Pods change, and what they refuse."""

from __future__ import annotations

from typing import Any

from tenantry.kube.field_errors import duplicate, forbidden, invalid, while_few
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.pod_resources import quality_of_service
from tenantry.kube.workloads.validation.checks import items, not_found
from tenantry.kube.workloads.validation.containers import container_errors
from tenantry.kube.workloads.validation.resources import resource_errors

_NOT_ALLOWED = ("ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy")
_RESIZED = ("resources", "resizePolicy")


def keep_all_but_ephemeral(obj: Object, old: Object) -> None:
    added = (obj.get("spec") or {}).get("ephemeralContainers")
    obj["spec"] = {**old["spec"]}
    if added:
        obj["spec"]["ephemeralContainers"] = added
    else:
        obj["spec"].pop("ephemeralContainers", None)


def ephemeral_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Containers may be added, and neither changed nor removed (ValidatePodEphemeralContainersUpdate)."""
    spec, before = obj["spec"], (old or obj)["spec"]
    volumes = {volume.get("name") or "" for volume in spec.get("volumes") or ()}
    others = {each.get("name") or "" for field in ("containers", "initContainers") for each in spec.get(field) or ()}
    errors: list[FieldError] = []
    seen = set(others)
    for here, each in while_few(errors, items(spec, "ephemeralContainers", "spec")):
        name = each.get("name") or ""
        errors += container_errors(each, here, volumes)
        if name and name in seen:
            errors.append(duplicate(f"{here}.name", name))
        seen.add(name)
        target = each.get("targetContainerName") or ""
        if target and target not in others:
            errors.append(not_found(f"{here}.targetContainerName", target))
        for field in _NOT_ALLOWED:
            if each.get(field):
                errors.append(forbidden(f"{here}.{field}", "cannot be set for an Ephemeral Container"))
        resources = each.get("resources") or {}
        if resources.get("limits") or resources.get("requests"):
            errors.append(forbidden(f"{here}.resources", "cannot be set for an Ephemeral Container"))
    after = {each.get("name"): each for each in spec.get("ephemeralContainers") or ()}
    for each in before.get("ephemeralContainers") or ():
        name, path = each.get("name"), "spec.ephemeralContainers"
        if name not in after:
            errors.append(forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif after[name] != each:
            errors.append(forbidden(path, f'existing ephemeral containers "{name}" may not be changed\n'))
    return errors


def keep_all_but_resources(obj: Object, old: Object) -> None:
    wanted, spec = obj.get("spec") or {}, {**old["spec"]}
    for field in ("containers", "initContainers"):
        named = {each.get("name"): each for each in wanted.get(field) or ()}
        if spec.get(field):
            spec[field] = [_resized(each, named.get(each.get("name"))) for each in spec[field]]
    if "resources" in wanted:
        spec["resources"] = wanted["resources"]
    obj["spec"] = spec


def _resized(container: Object, wanted: Object | None) -> Object:
    if wanted is None:
        return container
    rest: dict[str, Any] = {name: value for name, value in container.items() if name not in _RESIZED}
    return rest | {name: wanted[name] for name in _RESIZED if name in wanted}


def resize_errors(obj: Object, old: Object | None) -> list[FieldError]:
    spec = obj["spec"]
    errors: list[FieldError] = []
    for field in ("containers", "initContainers"):
        for here, each in while_few(errors, items(spec, field, "spec")):
            errors += resource_errors(each.get("resources") or {}, f"{here}.resources")
    if old is not None and quality_of_service(spec) != quality_of_service(old["spec"]):
        shown = quality_of_service(old["spec"])
        errors.append(invalid("spec", shown, "Pod QOS Class may not change as a result of resizing"))
    return errors
