"""Validates the volumes of Pods, and the sources that PersistentVolumes share with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tenantry.kube.field_errors import duplicate, forbidden, invalid, required, while_few
from tenantry.kube.objects import Object
from tenantry.kube.quantity import parse
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import driver_name, items, label, one_of
from tenantry.kube.workloads.validation.claims import claim_spec_errors
from tenantry.kube.workloads.validation.containers import field_errors, inner_path_errors, outward_errors

_LUN_MAX = 255
_MODE_RANGE = "must be a number between 0 and 0777 (octal), both inclusive"
_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_OF_VOLUMES = ("metadata.annotations", "metadata.labels")
_REQUIRED: Mapping[str, Sequence[str]] = {
    "azureDisk": ("diskName", "diskURI"),
    "azureFile": ("secretName", "shareName"),
    "flexVolume": ("driver",),
    "gcePersistentDisk": ("pdName",),
    "gitRepo": ("repository",),
    "glusterfs": ("endpoints", "path"),
    "hostPath": ("path",),
    "image": ("reference",),
    "iscsi": ("targetPortal", "iqn"),
    "nfs": ("server", "path"),
    "persistentVolumeClaim": ("claimName",),
    "photonPersistentDisk": ("pdID",),
    "awsElasticBlockStore": ("volumeID",),
    "cinder": ("volumeID",),
    "portworxVolume": ("volumeID",),
    "quobyte": ("registry", "volume"),
    "rbd": ("monitors", "image"),
    "cephfs": ("monitors",),
    "scaleIO": ("gateway", "system", "volumeName"),
    "secret": ("secretName",),
    "configMap": ("name",),
    "vsphereVolume": ("volumePath",),
}
"""Source → the fields that it must have."""
_SOURCE_ORDER = (
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "scaleIO",
    "projected",
    "csi",
    "local",
    "ephemeral",
    "image",
)


def volumes_errors(spec: Object, path: str) -> tuple[list[FieldError], set[str]]:
    """The errors of the volumes of a Pod, and the names of the volumes."""
    errors: list[FieldError] = []
    names: set[str] = set()
    for here, volume in while_few(errors, items(spec, "volumes", path)):
        name = volume.get("name") or ""
        wrong = source_errors(volume, here)
        wrong += label(name, f"{here}.name") if name else [required(f"{here}.name")]
        if not wrong and name in names:
            wrong.append(duplicate(f"{here}.name", name))
        errors += wrong
        if not wrong:
            # A volume with errors is none that containers may mount.
            names.add(name)
    return errors, names


def sources_of(volume: Object) -> dict[str, Any]:
    """What a volume has of sources, by their names."""
    return {name: volume[name] for name in _SOURCE_ORDER if name in volume}


def source_errors(volume: Object, path: str) -> list[FieldError]:
    """The errors of the source of a volume: it must have one, and no second one."""
    chosen = [name for name in _SOURCE_ORDER if name in volume]
    if not chosen:
        return [required(path, "must specify a volume type")]
    errors: list[FieldError] = []
    for name in chosen[:1]:
        here = f"{path}.{name}"
        errors += [required(f"{here}.{field}") for field in _REQUIRED.get(name, ()) if not volume[name].get(field)]
        more = _MORE.get(name)
        if more is not None:
            errors += more(volume[name], here)
    return errors + [forbidden(f"{path}.{name}", "may not specify more than 1 volume type") for name in chosen[1:]]


def _host_path(source: Object, path: str) -> Iterable[FieldError]:
    if source.get("path"):
        yield from outward_errors(source["path"], f"{path}.path")
    if source.get("type"):
        yield from one_of(source["type"], f"{path}.type", _HOST_PATH_TYPES)


def _with_items(source: Object, path: str) -> Iterable[FieldError]:
    yield from _mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    for here, item in items(source, "items", path):
        if not item.get("key"):
            yield required(f"{here}.key")
        if not item.get("path"):
            yield required(f"{here}.path")
        yield from inner_path_errors(item.get("path") or "", f"{here}.path")
        yield from _mode_errors(item.get("mode"), f"{here}.mode")


def _downward(source: Object, path: str) -> Iterable[FieldError]:
    yield from _mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    # Upstream names the list and not the item.
    here = path
    for item in source.get("items") or ():
        if not item.get("path"):
            yield required(f"{here}.path")
        yield from inner_path_errors(item.get("path") or "", f"{here}.path")
        if "fieldRef" in item:
            yield from field_errors(item["fieldRef"], f"{here}.fieldRef", more=_OF_VOLUMES)
            if "resourceFieldRef" in item:
                yield invalid(here, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously")
        elif "resourceFieldRef" not in item:
            yield required(here, "one of fieldRef and resourceFieldRef is required")
        yield from _mode_errors(item.get("mode"), f"{here}.mode")


def _projected(source: Object, path: str) -> Iterable[FieldError]:
    yield from _mode_errors(source.get("defaultMode"), f"{path}.defaultMode")
    for here, each in items(source, "sources", path):
        for name in ("secret", "configMap"):
            if name in each:
                if not each[name].get("name"):
                    yield required(f"{here}.{name}.name")
                yield from _with_items(each[name], f"{here}.{name}")
        if "downwardAPI" in each:
            yield from _downward(each["downwardAPI"], f"{here}.downwardAPI")
        token = each.get("serviceAccountToken")
        if token is not None:
            if not token.get("path"):
                yield required(f"{path}.path")
            if token.get("expirationSeconds", 3600) < 600:
                text = "may not specify a duration less than 10 minutes"
                yield invalid(f"{here}.serviceAccountToken.expirationSeconds", token["expirationSeconds"], text)


def _empty_directory(source: Object, path: str) -> Iterable[FieldError]:
    if parse(source.get("sizeLimit") or "0") < 0:
        yield forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _nfs(source: Object, path: str) -> Iterable[FieldError]:
    if not (source.get("path") or "").startswith("/"):
        yield invalid(f"{path}.path", source.get("path") or "", "must be an absolute path")


def _iscsi(source: Object, path: str) -> Iterable[FieldError]:
    name = source.get("iqn") or ""
    if name and not name.startswith(("iqn", "eui", "naa")):
        yield invalid(f"{path}.iqn", name, "must be valid format starting with iqn, eui, or naa")
    if not 0 <= source.get("lun", 0) <= _LUN_MAX:
        yield invalid(f"{path}.lun", source.get("lun"), f"must be between 0 and {_LUN_MAX}, inclusive")


def _csi(source: Object, path: str) -> Iterable[FieldError]:
    return driver_name(source.get("driver") or "", f"{path}.driver")


def _ephemeral(source: Object, path: str) -> Iterable[FieldError]:
    template = source.get("volumeClaimTemplate")
    if template is None:
        yield required(f"{path}.volumeClaimTemplate")
    else:
        yield from claim_spec_errors(template.get("spec") or {}, f"{path}.volumeClaimTemplate.spec")


def _mode_errors(mode: int | None, path: str) -> Iterator[FieldError]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid(path, mode, _MODE_RANGE)


_MORE: Mapping[str, Callable[[Object, str], Iterable[FieldError]]] = {
    "configMap": _with_items,
    "csi": _csi,
    "emptyDir": _empty_directory,
    "iscsi": _iscsi,
    "nfs": _nfs,
    "downwardAPI": _downward,
    "ephemeral": _ephemeral,
    "hostPath": _host_path,
    "projected": _projected,
    "secret": _with_items,
}
