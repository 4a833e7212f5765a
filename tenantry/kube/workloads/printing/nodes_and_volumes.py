"""The cells of Nodes, volumes and claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tenantry.kube.objects import Object, annotations_of, is_deleting, labels_of
from tenantry.kube.workloads.printing.cells import (
    AGE,
    NAME,
    NONE,
    UNKNOWN,
    UNSET,
    Cell,
    condition_of,
    plain,
    spec,
    spec_of,
    status,
    status_of,
)

_ROLE_PREFIX, _ROLE = "node-role.kubernetes.io/", "kubernetes.io/role"
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
_ACCESS_MODES = (("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP"))


def _node_status(node: Object) -> str:
    ready = condition_of(node, "Ready")
    words = ["Unknown" if ready is None else "Ready" if ready == "True" else "NotReady"]
    if spec_of(node).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(node: Object) -> str:
    labels = labels_of(node)
    roles = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)} | {labels.get(_ROLE, "")}
    return ",".join(sorted(roles - {""})) or NONE


def _address(of: str) -> Cell:
    def find(node: Object) -> Any:
        addresses = status_of(node).get("addresses") or ()
        return next((each.get("address", "") for each in addresses if each.get("type") == of), NONE)

    return plain(find)


def _info(node: Object) -> Object:
    return status_of(node).get("nodeInfo") or {}


def _kernel(node: Object) -> str:
    info = _info(node)
    architecture = f" ({info['architecture']})" if info.get("architecture") else ""
    return (info.get("kernelVersion") or UNKNOWN) + architecture


def _access_modes(modes: Iterable[str] | None) -> str:
    given = set(modes or ())
    return ",".join(short for mode, short in _ACCESS_MODES if mode in given)


def _class(obj: Object) -> str:
    return annotations_of(obj).get(_CLASS_ANNOTATION, spec_of(obj).get("storageClassName") or "")


def _phase(obj: Object) -> str:
    return "Terminating" if is_deleting(obj) else status_of(obj).get("phase") or ""


def _claim(volume: Object) -> str:
    claim = spec_of(volume).get("claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim is not None else ""


def _bound(claim: Object, value: str) -> str:
    return value if spec_of(claim).get("volumeName") else ""


CELLS: Mapping[str, Sequence[Cell]] = {
    "Node": (
        NAME,
        plain(_node_status),
        plain(_roles),
        AGE,
        plain(lambda obj: _info(obj).get("kubeletVersion") or ""),
        _address("InternalIP"),
        _address("ExternalIP"),
        plain(lambda obj: _info(obj).get("osImage") or UNKNOWN),
        plain(_kernel),
        plain(lambda obj: _info(obj).get("containerRuntimeVersion") or UNKNOWN),
    ),
    "PersistentVolume": (
        NAME,
        plain(lambda obj: (spec_of(obj).get("capacity") or {}).get("storage", "0")),
        plain(lambda obj: _access_modes(spec_of(obj).get("accessModes"))),
        spec("persistentVolumeReclaimPolicy"),
        plain(_phase),
        plain(_claim),
        plain(_class),
        spec("volumeAttributesClassName", UNSET),
        status("reason"),
        AGE,
        spec("volumeMode", UNSET),
    ),
    "PersistentVolumeClaim": (
        NAME,
        plain(_phase),
        spec("volumeName"),
        plain(lambda obj: _bound(obj, (status_of(obj).get("capacity") or {}).get("storage", "0"))),
        plain(lambda obj: _bound(obj, _access_modes(status_of(obj).get("accessModes")))),
        plain(_class),
        spec("volumeAttributesClassName", UNSET),
        AGE,
        spec("volumeMode", UNSET),
    ),
}
