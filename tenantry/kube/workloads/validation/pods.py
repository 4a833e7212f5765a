"""Validates Pods, and the templates that others make Pods from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tenantry.kube.field_errors import duplicate, forbidden, invalid, not_supported, required, too_long, while_few
from tenantry.kube.label_selector_validation import label_errors
from tenantry.kube.names import qualified_name_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import (
    INT32_MAX,
    ip_address,
    items,
    label,
    not_negative,
    one_of,
    subdomain,
    unique,
)
from tenantry.kube.workloads.validation.containers import containers_errors, image_errors, seccomp_errors
from tenantry.kube.workloads.validation.resources import pod_level_errors, resource_errors
from tenantry.kube.workloads.validation.scheduling import affinity_errors, spread_errors, toleration_errors
from tenantry.kube.workloads.validation.volumes import volumes_errors

_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
_SYSTEMS = ("linux", "windows")
_HOST_NAME_BYTES_MAX = 64
_MUTABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions "
    "to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def template_errors(template: Object, path: str) -> list[FieldError]:
    """The errors of a PodTemplateSpec."""
    metadata = template.get("metadata") or {}
    errors = label_errors(metadata.get("labels") or {}, f"{path}.labels")
    errors += annotation_errors(metadata.get("annotations") or {}, f"{path}.annotations")
    spec = template.get("spec") or {}
    errors += pod_spec_errors(spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        errors.append(forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"))
    return errors


def annotation_errors(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in while_few(errors, annotations):
        errors += [invalid(path, key, text) for text in qualified_name_errors(key.lower())]
    return errors


def pod_spec_errors(spec: Object, path: str) -> list[FieldError]:
    """ValidatePodSpec."""
    errors, volumes = volumes_errors(spec, path)
    errors += _claim_errors(spec, path)
    errors += containers_errors(spec, path, volumes)
    errors += pod_level_errors(spec, f"{path}.resources")
    errors += one_of(spec.get("restartPolicy"), f"{path}.restartPolicy", _RESTART_POLICIES, missing="")
    errors += one_of(spec.get("dnsPolicy"), f"{path}.dnsPolicy", _DNS_POLICIES, missing="")
    if spec.get("dnsPolicy") == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        if "dnsConfig" not in spec:
            errors.append(required(f"{path}.dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None"))
        else:
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            errors.append(required(f"{path}.dnsConfig.nameservers", text))
    errors += label_errors(spec.get("nodeSelector") or {}, f"{path}.nodeSelector")
    errors += _security_errors(spec.get("securityContext") or {}, f"{path}.securityContext")
    errors += affinity_errors(spec.get("affinity") or {}, f"{path}.affinity")
    for here, each in while_few(errors, items(spec, "readinessGates", path)):
        of = each.get("conditionType") or ""
        errors += [invalid(f"{here}.conditionType", of, text) for text in qualified_name_errors(of)]
    for here, each in while_few(errors, items(spec, "schedulingGates", path)):
        name = each.get("name") or ""
        errors += [invalid(here, name, text) for text in qualified_name_errors(name)]
    errors += spread_errors(spec, path)
    errors += _host_name_errors(spec, f"{path}.hostnameOverride")
    for name in ("serviceAccountName", "nodeName"):
        if spec.get(name):
            errors += subdomain(spec[name], f"{path}.{name}")
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None and not 1 <= seconds <= INT32_MAX:
        errors.append(invalid(f"{path}.activeDeadlineSeconds", seconds, f"must be between 1 and {INT32_MAX}, inclusive"))
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            errors += label(spec[name], f"{path}.{name}")
    errors += toleration_errors(spec, path)
    for here, alias in while_few(errors, items(spec, "hostAliases", path)):
        errors += ip_address(alias.get("ip") or "", f"{here}.ip")
        for index, name in enumerate(alias.get("hostnames") or ()):
            errors += subdomain(name, f"{here}.hostnames[{index}]")
    if spec.get("priorityClassName"):
        errors += subdomain(spec["priorityClassName"], f"{path}.priorityClassName")
    if spec.get("runtimeClassName") is not None:
        errors += subdomain(spec["runtimeClassName"], f"{path}.runtimeClassName")
    errors += one_of(spec.get("preemptionPolicy"), f"{path}.preemptionPolicy", _PREEMPTION_POLICIES)
    errors += resource_errors({"limits": spec.get("overhead") or {}}, f"{path}.overhead")
    system = (spec.get("os") or {}).get("name") or ""
    if "os" in spec and not system:
        errors.append(required(f"{path}.os.name"))
    elif system and system not in _SYSTEMS:
        errors.append(not_supported(f"{path}.os", system, _SYSTEMS))
    return errors


def _claim_errors(spec: Object, path: str) -> list[FieldError]:
    """validatePodResourceClaims."""
    errors: list[FieldError] = []
    names: set[str] = set()
    for here, claim in while_few(errors, items(spec, "resourceClaims", path)):
        name = claim.get("name") or ""
        given, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        if not name:
            errors.append(required(f"{here}.name"))
        elif name in names:
            errors.append(duplicate(f"{here}.name", name))
        else:
            errors += label(name, f"{here}.name")
            names.add(name)
        shown = {"Name": name, "ResourceClaimName": given, "ResourceClaimTemplateName": template}
        if given is not None and template is not None:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            errors.append(invalid(here, shown, text))
        if given is None and template is None:
            errors.append(invalid(here, shown, "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"))
        for field, value in (("resourceClaimName", given), ("resourceClaimTemplateName", template)):
            errors += subdomain(value, f"{here}.{field}") if value is not None else []
    return errors


def _host_name_errors(spec: Object, path: str) -> list[FieldError]:
    """validatePodHostName."""
    name = spec.get("hostnameOverride")
    if name is None:
        return []
    reasons = (("setHostnameAsFQDN", "setHostnameAsFQDN"), ("hostNetwork", "hostNetwork"))
    errors = [forbidden(path, f"may not be specified when {text} is true") for field, text in reasons if spec.get(field)]
    if len(name.encode()) > _HOST_NAME_BYTES_MAX:
        errors.append(too_long(path, _HOST_NAME_BYTES_MAX))
    return errors + subdomain(name, path)


_SYSCTL_WORD = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"


def _security_errors(context: Object, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("fsGroup", "runAsUser", "runAsGroup"):
        number = context.get(name)
        if number is not None and not 0 <= number <= INT32_MAX:
            errors.append(invalid(f"{path}.{name}", number, f"must be between 0 and {INT32_MAX}, inclusive"))
    for here, each in while_few(errors, items(context, "sysctls", path)):
        name = each.get("name") or ""
        if not name:
            errors.append(required(f"{here}.name"))
        elif not _is_sysctl(name):
            text = f"must have at most 253 characters and match regex ^{_SYSCTL}$"
            errors.append(invalid(f"{here}.name", name, text))
    errors += seccomp_errors(context, path)
    return errors + unique((f"{here}.name", each.get("name") or "") for here, each in items(context, "sysctls", path))


def _is_sysctl(name: str) -> bool:
    return len(name) <= 253 and all(_SYSCTL_WORD.fullmatch(word) for word in name.replace("/", ".").split("."))


def pod_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a Pod. `old` is None on create."""
    spec = obj["spec"]
    errors = annotation_errors(obj["metadata"].get("annotations") or {}, "metadata.annotations")
    errors += pod_spec_errors(spec, "spec")
    errors += not_negative(spec.get("terminationGracePeriodSeconds"), "spec.terminationGracePeriodSeconds")
    for name in ("containers", "initContainers"):
        for here, container in while_few(errors, items(spec, name, "spec")):
            errors += image_errors(container, here)
    if old is None:
        if spec.get("ephemeralContainers"):
            errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
        if spec.get("schedulingGates") and spec.get("nodeName"):
            errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    elif _unchangeable(spec, old["spec"]) != _unchangeable(old["spec"], old["spec"]):
        errors.append(forbidden("spec", f"pod updates may not change fields other than {_MUTABLE}\n"))
    return errors


def _unchangeable(spec: Object, old: Object) -> Object:
    """What an update of a Pod may not change."""
    out = {name: value for name, value in spec.items() if name not in ("activeDeadlineSeconds", "schedulingGates")}
    for name in ("containers", "initContainers"):
        if name in out:
            out[name] = [{**container, "image": ""} for container in out[name] or ()]
    before: list[Any] = old.get("tolerations") or []
    if (out.get("tolerations") or [])[: len(before)] == before:
        out["tolerations"] = before
    if old.get("terminationGracePeriodSeconds", 0) < 0 and out.get("terminationGracePeriodSeconds") == 1:
        out["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"]
    if old.get("schedulingGates"):
        # A gated Pod may still be told where to run.
        out = {name: value for name, value in out.items() if name not in ("nodeSelector", "affinity")}
    return out


def pod_template_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a PodTemplate."""
    return template_errors(obj.get("template") or {}, "template")
