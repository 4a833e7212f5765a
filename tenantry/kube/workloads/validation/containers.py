"""Validates containers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from tenantry.kube.field_errors import duplicate, forbidden, invalid, not_supported, required, while_few
from tenantry.kube.names import config_key_errors, dns1123_subdomain_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import (
    PROTOCOLS,
    all_not_negative,
    environment_name,
    items,
    label,
    member,
    not_found,
    one_of,
    port,
    port_name_errors,
    port_number,
)
from tenantry.kube.workloads.validation.container_parts import (
    claims_of,
    device_errors,
    forbidden_in_ephemeral,
    resize_policy_errors,
    restart_errors,
)
from tenantry.kube.workloads.validation.resources import resource_errors

_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_TERMINATION_POLICIES = ("File", "FallbackToLogsOnError")
_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
_RESOURCE_FIELDS = tuple(f"{s}.{r}" for s in ("limits", "requests") for r in ("cpu", "ephemeral-storage", "memory"))
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_SECCOMP_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_UID_MAX = (1 << 31) - 1
_UID_RANGE = "must be between 0 and 2147483647, inclusive"


def containers_errors(spec: Object, path: str, volumes: Collection[str]) -> list[FieldError]:
    """The errors of the containers and init containers of a Pod. `volumes`: the names of its volumes."""
    errors: list[FieldError] = []
    if not spec.get("containers"):
        errors.append(required(f"{path}.containers"))
    names: set[str] = set()
    ports: set[str] = set()
    of_pod, claims = spec.get("restartPolicy") or "", claims_of(spec)

    def common(container: Object, here: str) -> list[FieldError]:
        return container_errors(container, here, volumes, claims=claims, of_pod=of_pod)

    for here, container in while_few(errors, items(spec, "containers", path)):
        errors += common(container, here)
        if (name := container.get("name") or "") in names:
            errors.append(duplicate(f"{here}.name", name))
        names.add(name)
        errors += [*_lifecycle_errors(container, here), *restart_errors(container, here)]
        errors += _host_port_errors(container, here, ports)
    for here, container in while_few(errors, items(spec, "initContainers", path)):
        errors += common(container, here)
        if (name := container.get("name") or "") in names:
            errors.append(duplicate(f"{here}.name", name))
        names.update([name] if name else ())
        errors += _init_errors(container, here)
    others = frozenset(names)
    for here, container in while_few(errors, items(spec, "ephemeralContainers", path)):
        name, target = container.get("name") or "", container.get("targetContainerName") or ""
        errors += common(container, here) + image_errors(container, here)
        if name in names:
            errors.append(duplicate(f"{here}.name", name))
        names.add(name)
        if target and target not in others:
            errors.append(not_found(f"{here}.targetContainerName", target))
        errors += forbidden_in_ephemeral(container, here)
    return errors


def image_errors(container: Object, path: str) -> list[FieldError]:
    """What is asked of the image of a Pod, and not of one in a template."""
    image = container.get("image") or ""
    text = "must not have leading or trailing whitespace"
    return [] if image == image.strip() else [invalid(f"{path}.image", image, text)]


def _init_errors(container: Object, path: str) -> list[FieldError]:
    wrong = member(container.get("restartPolicy"), f"{path}.restartPolicy", _RESTART_POLICIES)
    if wrong:
        return wrong
    if container.get("restartPolicy") == "Always":
        return list(_lifecycle_errors(container, path))
    return [
        forbidden(f"{path}.{name}", "may not be set for init containers without restartPolicy=Always")
        for name in ("lifecycle", *_PROBES)
        if name in container
    ]


def container_errors(
    container: Object, path: str, volumes: Collection[str], *, claims: Collection[str] = (), of_pod: str = ""
) -> list[FieldError]:
    """The errors that all kinds of containers share. `claims`: the volumes that are claims. `of_pod`: the restart policy."""
    name, image = container.get("name") or "", container.get("image") or ""
    errors = label(name, f"{path}.name") if name else [required(f"{path}.name")]
    if not image:
        errors.append(required(f"{path}.image"))
    errors += one_of(
        container.get("terminationMessagePolicy"), f"{path}.terminationMessagePolicy", _TERMINATION_POLICIES, missing=""
    )
    errors += _port_errors(container, path)
    errors += _environment_errors(container, path)
    errors += _mount_errors(container, path, volumes)
    errors += device_errors(container, path, volumes, claims)
    errors += one_of(container.get("imagePullPolicy"), f"{path}.imagePullPolicy", _PULL_POLICIES, missing="")
    errors += resource_errors(container.get("resources") or {}, f"{path}.resources")
    errors += resize_policy_errors(container, path, of_pod)
    return [*errors, *_security_errors(container.get("securityContext") or {}, f"{path}.securityContext")]


def _port_errors(container: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    names: set[str] = set()
    for here, each in while_few(errors, items(container, "ports", path)):
        name = each.get("name") or ""
        if name:
            wrong = port_name_errors(name)
            errors += [invalid(f"{here}.name", name, text) for text in wrong]
            if not wrong and name in names:
                errors.append(duplicate(f"{here}.name", name))
            names.add(name)
        number = each.get("containerPort", 0)
        errors += port_number(number, f"{here}.containerPort") if number else [required(f"{here}.containerPort")]
        if each.get("hostPort"):
            errors += port_number(each["hostPort"], f"{here}.hostPort")
        errors += one_of(each.get("protocol"), f"{here}.protocol", PROTOCOLS, missing="")
    return errors


def _host_port_errors(container: Object, path: str, taken: set[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    for here, each in while_few(errors, items(container, "ports", path)):
        if each.get("hostPort"):
            place = f"{each.get('protocol', '')}/{each.get('hostIP', '')}/{each['hostPort']}"
            if place in taken:
                errors.append(duplicate(f"{here}.hostPort", place))
            taken.add(place)
    return errors


def _environment_errors(container: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for here, each in while_few(errors, items(container, "env", path)):
        name = each.get("name") or ""
        errors += environment_name(name, f"{here}.name") if name else [required(f"{here}.name")]
        if "valueFrom" in each:
            errors += _source_errors(each, each["valueFrom"], f"{here}.valueFrom")
    for here, each in while_few(errors, items(container, "envFrom", path)):
        if each.get("prefix"):
            errors += environment_name(each["prefix"], f"{here}.prefix")
        chosen = [name for name in ("configMapRef", "secretRef") if name in each]
        for name in chosen:
            target = each[name].get("name") or ""
            errors += _name_errors(target, f"{here}.{name}.name") if target else [required(f"{here}.{name}.name")]
        if not chosen:
            # Upstream names the list and not the item.
            errors.append(invalid(f"{path}.envFrom", "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(chosen) > 1:
            errors.append(invalid(f"{path}.envFrom", "", "may not have more than one field specified at a time"))
    return errors


def _name_errors(name: str, path: str) -> list[FieldError]:
    return [invalid(path, name, text) for text in dns1123_subdomain_errors(name)]


def _source_errors(variable: Object, source: Object, path: str) -> list[FieldError]:
    chosen = [name for name in _SOURCES if name in source]
    errors = [error for name in chosen for error in _CHECKS[name](source[name], f"{path}.{name}")]
    if not chosen:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        errors.append(invalid(path, "", text))
    elif variable.get("value"):
        errors.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(chosen) > 1:
        errors.append(invalid(path, "", "may not have more than one field specified at a time"))
    return errors


def field_errors(reference: Object, path: str, *, more: Collection[str] = ()) -> list[FieldError]:
    """The errors of a field of the Pod: `metadata.name`, `metadata.labels['app']`. `more`: what is allowed beside."""
    name = reference.get("fieldPath") or ""
    if not reference.get("apiVersion"):
        return [required(f"{path}.apiVersion")]
    if not name:
        return [required(f"{path}.fieldPath")]
    place, bracket, _ = name.partition("[")
    if name in _FIELDS or name in more or (bracket and place in ("metadata.labels", "metadata.annotations") and name[-1] == "]"):
        return []
    if place in ("metadata.labels", "metadata.annotations") and not bracket:
        supported = sorted(_FIELDS)
        shown = ", ".join(f'"{each}"' for each in supported)
        return [FieldError("NotSupported", f"{path}.fieldPath", f'Unsupported value: "{name}": supported values: {shown}')]
    text = f"error converting fieldPath: field label not supported: {name}"
    return [invalid(f"{path}.fieldPath", name, text)]


def _field_of_pod(reference: Object, path: str) -> list[FieldError]:
    return field_errors(reference, path)


def _resource_field(reference: Object, path: str) -> list[FieldError]:
    name = reference.get("resource") or ""
    if not name:
        return [required(f"{path}.resource")]
    if name in _RESOURCE_FIELDS or name.startswith(("limits.hugepages-", "requests.hugepages-")):
        return []
    return [not_supported(f"{path}.resource", name, _RESOURCE_FIELDS)]


def _key_errors(reference: Object, path: str) -> list[FieldError]:
    errors = _name_errors(reference.get("name") or "", f"{path}.name")
    key = reference.get("key") or ""
    if not key:
        return [*errors, required(f"{path}.key")]
    return errors + [invalid(f"{path}.key", key, text) for text in config_key_errors(key)]


def _file_key(reference: Object, path: str) -> list[FieldError]:
    return [required(f"{path}.{name}") for name in ("volumeName", "path", "key") if not reference.get(name)]


_CHECKS = {
    "fieldRef": _field_of_pod,
    "resourceFieldRef": _resource_field,
    "configMapKeyRef": _key_errors,
    "secretKeyRef": _key_errors,
    "fileKeyRef": _file_key,
}


def _mount_errors(container: Object, path: str, volumes: Collection[str]) -> list[FieldError]:
    errors: list[FieldError] = []
    places: set[str] = set()
    for here, each in while_few(errors, items(container, "volumeMounts", path)):
        name, place = each.get("name") or "", each.get("mountPath") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        if name not in volumes:
            errors.append(not_found(f"{here}.name", name))
        if not place:
            errors.append(required(f"{here}.mountPath"))
        if place in places:
            errors.append(invalid(f"{here}.mountPath", place, "must be unique"))
        places.add(place)
        # Upstream names the list and not the item.
        errors += inner_path_errors(each.get("subPath") or "", f"{path}.volumeMounts.subPath")
        if each.get("subPath") and each.get("subPathExpr"):
            errors.append(
                invalid(f"{path}.volumeMounts.subPathExpr", each["subPathExpr"], "subPathExpr and subPath are mutually exclusive")
            )
        errors += inner_path_errors(each.get("subPathExpr") or "", f"{path}.volumeMounts.subPathExpr")
    return errors


def inner_path_errors(place: str, path: str) -> list[FieldError]:
    """The errors of a path in a volume."""
    if place.startswith("/"):
        return [invalid(path, place, "must be a relative path")]
    return outward_errors(place, path)


def outward_errors(place: str, path: str) -> list[FieldError]:
    return [invalid(path, place, "must not contain '..'")] if ".." in place.split("/") else []


def _lifecycle_errors(container: Object, path: str) -> Iterator[FieldError]:
    lifecycle: Mapping[str, Any] = container.get("lifecycle") or {}
    for name in ("postStart", "preStop"):
        if name in lifecycle:
            yield from _handler_errors(lifecycle[name], f"{path}.lifecycle.{name}")
    for name in _PROBES:
        if name in container:
            yield from _probe_errors(container[name], f"{path}.{name}", once=name != "readinessProbe")


def _probe_errors(probe: Object, path: str, *, once: bool) -> Iterator[FieldError]:
    yield from _handler_errors(probe, path)
    yield from all_not_negative(
        probe, path, "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"
    )
    seconds = probe.get("terminationGracePeriodSeconds")
    if seconds is not None and seconds <= 0:
        yield invalid(f"{path}.terminationGracePeriodSeconds", seconds, "must be greater than 0")
    if not once and seconds is not None:
        yield invalid(f"{path}.terminationGracePeriodSeconds", seconds, "must not be set for readinessProbes")
    if once and probe.get("successThreshold") != 1:
        yield invalid(f"{path}.successThreshold", probe.get("successThreshold"), "must be 1")


def _handler_errors(handler: Object, path: str) -> list[FieldError]:
    chosen = [name for name in _HANDLERS if name in handler]
    if not chosen:
        return [required(path, "must specify a handler type")]
    errors = [forbidden(f"{path}.{name}", "may not specify more than 1 handler type") for name in chosen[1:]]
    return list(_handler(chosen[0], handler[chosen[0]], f"{path}.{chosen[0]}")) + errors


def _handler(name: str, handler: Object, path: str) -> Iterable[FieldError]:
    if name == "exec" and not handler.get("command"):
        yield required(f"{path}.command")
    if name == "httpGet":
        if not handler.get("path"):
            yield required(f"{path}.path")
        yield from port(handler.get("port", 0), f"{path}.port")
        yield from one_of(handler.get("scheme"), f"{path}.scheme", ("HTTP", "HTTPS"), missing="")
        for here, header in items(handler, "httpHeaders", path):
            if not header.get("name"):
                yield required(f"{here}.name")
    if name in ("tcpSocket", "grpc"):
        yield from port(handler.get("port", 0), f"{path}.port")


def seccomp_errors(context: Object, path: str) -> Iterator[FieldError]:
    """The errors of a seccompProfile."""
    profile = context.get("seccompProfile")
    if profile is None:
        return
    of, here = profile.get("type") or "", f"{path}.seccompProfile"
    if not of:
        yield required(f"{here}.type", "type is required when seccompProfile is set")
    elif of not in _SECCOMP_TYPES:
        yield not_supported(f"{here}.type", of, _SECCOMP_TYPES)
    elif of == "Localhost" and not profile.get("localhostProfile"):
        yield required(f"{here}.localhostProfile", "must be set when seccomp type is Localhost")
    elif of != "Localhost" and "localhostProfile" in profile:
        text = "can only be set when seccomp type is Localhost"
        yield invalid(f"{here}.localhostProfile", profile["localhostProfile"], text)


def _security_errors(context: Object, path: str) -> Iterator[FieldError]:
    yield from seccomp_errors(context, path)
    for name in ("runAsUser", "runAsGroup"):
        number = context.get(name)
        if number is not None and not 0 <= number <= _UID_MAX:
            yield invalid(f"{path}.{name}", number, _UID_RANGE)
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged"):
            yield invalid(path, _shown(context), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true")
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield invalid(path, _shown(context), text)


_SHOWN = (
    "capabilities",
    "privileged",
    "seLinuxOptions",
    "windowsOptions",
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "readOnlyRootFilesystem",
    "allowPrivilegeEscalation",
    "procMount",
    "seccompProfile",
    "appArmorProfile",
)


def _shown(context: Object) -> Object:
    """A context as upstream shows its internal type."""
    return {(name[:1].upper() + name[1:]).replace("SeL", "SEL"): context.get(name) for name in _SHOWN}
