"""Containers of Pods: variables and ports that are there twice, and amounts of bytes that are no whole numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tenantry.kube.go_text import quote
from tenantry.kube.objects import Object
from tenantry.kube.workloads.warnings.amounts import fraction_warnings

_SECCOMP = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_OTHERS_MAX = 50
"""With how many others a port is compared. kube-apiserver compares it with all."""


class Container(NamedTuple):
    path: str
    spec: Object


class _Port(NamedTuple):
    path: str
    host_ip: str
    host_port: int


def containers_of(path: str, spec: Object) -> list[Container]:
    """All containers of a PodSpec, in upstream's order. `path`: of the spec."""
    return [
        Container(f"{path}.{field}[{index}]", each)
        for field in ("initContainers", "containers", "ephemeralContainers")
        for index, each in enumerate(spec.get(field) or ())
    ]


def container_warnings(container: Container, annotations: Object, where: str, profile: Object | None) -> Iterator[str]:
    """`where`: the path of the annotations of the Pod. `profile`: its AppArmor profile."""
    path, spec = container
    name, context = spec.get("name") or "", spec.get("securityContext") or {}
    if context.get("seccompProfile") is None and _SECCOMP + name in annotations:
        yield f'{where}[{_SECCOMP}{name}]: non-functional in v1.27+; use the "seccompProfile" field instead'
    armored = annotations.get(_APPARMOR + name) if context.get("appArmorProfile") is None else None
    if armored is not None and (profile is None or profile != _apparmor(armored)):
        yield f'{where}[{_APPARMOR}{name}]: deprecated since v1.30; use the "appArmorProfile" field instead'
    resources = spec.get("resources") or {}
    for resource in ("memory", "ephemeral-storage"):
        for field in ("limits", "requests"):
            yield from fraction_warnings(f"{path}.resources.{field}", resources.get(field), resource)
    yield from _variables(container)


def _apparmor(annotation: str) -> Object | None:
    """The field that says the same as an annotation."""
    if annotation in ("runtime/default", "unconfined"):
        return {"type": "RuntimeDefault" if annotation == "runtime/default" else "Unconfined"}
    kind, _, profile = annotation.partition("/")
    return {"type": "Localhost", "localhostProfile": profile} if kind == "localhost" and profile else None


def _variables(container: Container) -> Iterator[str]:
    seen: set[str] = set()
    for index, variable in enumerate(container.spec.get("env") or ()):
        name, value = variable.get("name") or "", variable.get("value") or ""
        reference = f"$({name})"
        # One that is made of the former one is meant so.
        extends = variable.get("valueFrom") is None and reference in value and value != reference
        if name in seen and not extends:
            hides = f"hides previous definition of {quote(name)}, which may be dropped when using apply"
            yield f"{container.path}.env[{index}]: {hides}"
        seen.add(name)


def port_warnings(containers: Sequence[Container]) -> Iterator[str]:
    """Ports of all containers of a Pod that are there twice."""
    known: dict[tuple[int, str], list[_Port]] = {}
    for path, number, port in _ports(containers):
        made = _Port(path, port.get("hostIP") or "", port.get("hostPort") or 0)
        if made.host_ip and not made.host_port:
            yield f"{path}: hostIP set without hostPort: {_shown(port, number)}"
        others = known.setdefault((number, port.get("protocol") or "TCP"), [])
        for other in others[:_OTHERS_MAX]:
            kind = _conflict(made, other)
            if kind:
                yield f"{path}: {kind} port definition with {other.path}"
        others.append(made)


def _conflict(port: _Port, other: _Port) -> str:
    if port[1:] == other[1:]:
        return "duplicate"
    if not port.host_port or not other.host_port:
        return "overlapping"
    same = port.host_port == other.host_port and bool(port.host_ip) != bool(other.host_ip)
    return "dangerously ambiguous" if same else ""


def _shown(port: Object, number: int) -> str:
    """As Go prints the struct."""
    name, protocol = port.get("name") or "", port.get("protocol") or "TCP"
    host = f"HostPort:{port.get('hostPort') or 0}"
    return f"{{Name:{name} {host} ContainerPort:{number} Protocol:{protocol} HostIP:{port.get('hostIP') or ''}}}"


def port_name_warnings(containers: Sequence[Container]) -> Iterator[str]:
    known: dict[str, str] = {}
    for path, _, port in _ports(containers):
        name = port.get("name")
        if name:
            other = known.setdefault(name, path)
            if other != path:
                chosen = f"services and probes that select ports by name will use {other}"
                yield f"{path}: duplicate port name {quote(name)} with {other}, {chosen}"


def _ports(containers: Sequence[Container]) -> Iterator[tuple[str, int, Object]]:
    for path, spec in containers:
        for index, port in enumerate(spec.get("ports") or ()):
            yield f"{path}.ports[{index}]", port.get("containerPort") or 0, port
