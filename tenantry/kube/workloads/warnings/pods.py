"""Pods and templates of Pods (pkg/api/pod/warnings.go)."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.kube.go_text import quote
from tenantry.kube.objects import Object
from tenantry.kube.workloads.warnings.addresses import address_warnings
from tenantry.kube.workloads.warnings.amounts import fraction_warnings
from tenantry.kube.workloads.warnings.containers import (
    container_warnings,
    containers_of,
    port_name_warnings,
    port_warnings,
)
from tenantry.kube.workloads.warnings.node_labels import DEPRECATED, term_warnings
from tenantry.kube.workloads.warnings.volumes import overlap_warnings, plugin_warnings

_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
_REQUIRED, _PREFERRED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
_NO_POD = "a null labelSelector results in matching no pod"


def template_warnings(path: str, template: Object) -> Iterator[str]:
    """`template`: a Pod, or a template of one. `path`: where it is; empty for a Pod."""
    before = f"{path}." if path else ""
    spec, annotations = template.get("spec") or {}, (template.get("metadata") or {}).get("annotations") or {}
    here, where = f"{before}spec", f"{before}metadata.annotations"
    context = spec.get("securityContext") or {}
    yield from _scheduling(here, spec)
    for key, text in _ANNOTATIONS.items():
        if key in annotations:
            yield f"{where}[{key}]: {text}"
    volumes = spec.get("volumes") or ()
    for index, volume in enumerate(volumes):
        yield from plugin_warnings(f"{here}.volumes[{index}]", volume)
    yield from overlap_warnings(volumes)
    yield from _repeated(here, spec)
    for resource in ("memory", "ephemeral-storage"):
        yield from fraction_warnings(f"{here}.overhead", spec.get("overhead"), resource)
    if context.get("seccompProfile") is None and _SECCOMP in annotations:
        yield f'{where}[{_SECCOMP}]: non-functional in v1.27+; use the "seccompProfile" field instead'
    containers = containers_of(here, spec)
    for container in containers:
        yield from container_warnings(container, annotations, where, context.get("appArmorProfile"))
    yield from port_warnings(containers)
    yield from port_name_warnings(containers)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{here}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1"
    yield from _affinity(f"{here}.affinity", spec.get("affinity") or {})
    for index, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield from address_warnings(f"{here}.dnsConfig.nameservers[{index}]", server)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from address_warnings(f"{here}.hostAliases[{index}].ip", alias.get("ip") or "")


def _scheduling(path: str, spec: Object) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if key in DEPRECATED:
            yield f"{path}.nodeSelector[{key}]: {DEPRECATED[key]}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()
    for index, term in enumerate(terms):
        yield from term_warnings(f"{path}.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms[{index}]", term, values=False)
    for index, each in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.affinity.nodeAffinity.{_PREFERRED}[{index}].preference"
        yield from term_warnings(where, each.get("preference") or {}, values=True)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        where, key = f"{path}.topologySpreadConstraints[{index}]", constraint.get("topologyKey") or ""
        if key in DEPRECATED:
            yield f"{where}.topologyKey: {key} is {DEPRECATED[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{where}.labelSelector: {_NO_POD}"


def _repeated(path: str, spec: Object) -> Iterator[str]:
    secrets = spec.get("imagePullSecrets") or ()
    for field, key, items in (("hostAliases", "ip", spec.get("hostAliases") or ()), ("imagePullSecrets", "name", secrets)):
        seen: set[str] = set()
        for index, item in enumerate(items):
            value = item.get(key) or ""
            if value in seen:
                yield f"{path}.{field}[{index}].{key}: duplicate {key} {quote(value)}"
            seen.add(value)
    for index, item in enumerate(secrets):
        if not item.get("name"):
            yield f'{path}.imagePullSecrets[{index}].name: invalid empty name ""'


def _affinity(path: str, affinity: Object) -> Iterator[str]:
    for field in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(field) or {}
        for index, term in enumerate(terms.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{path}.{field}.{_REQUIRED}[{index}].labelSelector: {_NO_POD}"
        for index, term in enumerate(terms.get(_PREFERRED) or ()):
            if (term.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{path}.{field}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {_NO_POD}"
