"""Validates PersistentVolumeClaims."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.kube.field_errors import forbidden, invalid, required
from tenantry.kube.label_selector_validation import label_selector_errors
from tenantry.kube.objects import Object
from tenantry.kube.quantity import parse
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import member, one_of, subdomain

_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
POSITIVE = "must be greater than zero"


def claim_spec_errors(spec: Object, path: str) -> list[FieldError]:
    """ValidatePersistentVolumeClaimSpec."""
    modes = spec.get("accessModes") or ()
    errors = [] if modes else [required(f"{path}.accessModes", "at least 1 access mode is required")]
    if "selector" in spec:
        errors += label_selector_errors(spec["selector"], f"{path}.selector")
    errors += access_mode_errors(modes, f"{path}.accessModes")
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        errors.append(required(f"{path}.resources[storage]"))
    elif parse(storage) <= 0:
        errors.append(invalid(f"{path}.resources[storage]", storage, POSITIVE))
    errors += subdomain(spec["storageClassName"], f"{path}.storageClassName") if spec.get("storageClassName") else []
    for name in ("dataSource", "dataSourceRef"):
        errors += _source_errors(spec[name], f"{path}.{name}") if name in spec else []
    errors += one_of(spec.get("volumeMode"), f"{path}.volumeMode", VOLUME_MODES)
    attributes = spec.get("volumeAttributesClassName")
    return errors + (subdomain(attributes, f"{path}.volumeAttributesClassName") if attributes else [])


def _source_errors(source: Object, path: str) -> list[FieldError]:
    errors = [required(f"{path}.{name}") for name in ("name", "kind") if not source.get(name)]
    if not source.get("apiGroup") and source.get("kind") not in ("", None, "PersistentVolumeClaim"):
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        errors.append(invalid(path, source.get("kind"), text))
    return errors


def claim_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a claim. `old` is None on create."""
    spec = obj["spec"]
    errors = claim_spec_errors(spec, "spec")
    if old is not None and _unchangeable(spec, old["spec"]) != _unchangeable(old["spec"], old["spec"]):
        text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        errors.append(forbidden("spec", text))
    return errors


def _unchangeable(spec: Object, old: Object) -> Object:
    """What may not be changed: all but the name of the volume before it has one, and what a bound claim requests."""
    out = {name: value for name, value in spec.items() if name != "volumeAttributesClassName"}
    if not old.get("volumeName"):
        out.pop("volumeName", None)
    else:
        resources: Mapping[str, Mapping[str, str]] = out.get("resources") or {}
        out["resources"] = {**resources, "requests": {**(resources.get("requests") or {}), "storage": ""}}
    return out


def access_mode_errors(modes: list[str] | tuple[str, ...], path: str) -> list[FieldError]:
    errors = [error for mode in modes for error in member(mode, path, _ACCESS_MODES)]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        errors.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return errors
