"""Validates PersistentVolumes, and the classes and drivers of volumes."""

from __future__ import annotations

from collections.abc import Mapping

from tenantry.kube.field_errors import IMMUTABLE, duplicate, forbidden, invalid, not_supported, required, while_few
from tenantry.kube.names import qualified_name_errors
from tenantry.kube.objects import Object
from tenantry.kube.quantity import parse
from tenantry.kube.status import FieldError
from tenantry.kube.workloads.validation.checks import in_order, items, member, one_of, subdomain
from tenantry.kube.workloads.validation.claims import POSITIVE, VOLUME_MODES, access_mode_errors
from tenantry.kube.workloads.validation.volumes import source_errors, sources_of

_RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_OF_CLASSES = ("Delete", "Retain")
_BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
_FS_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_LIFECYCLE_MODES = ("Persistent", "Ephemeral")
_EXPANSION = "controllerExpandSecretRef"
_UPDATE_SECONDS_MIN, _TOKEN_SECONDS_MIN = 10, 600
_PARAMETERS_MAX, _PARAMETERS_BYTES = 512, 256 << 10


def volume_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a PersistentVolume. `old` is None on create."""
    spec = obj["spec"]
    modes = spec.get("accessModes") or ()
    errors = [] if modes else [required("spec.accessModes")]
    errors += access_mode_errors(modes, "spec.accessModes")
    capacity: Mapping[str, str] = spec.get("capacity") or {}
    if not capacity:
        errors.append(required("spec.capacity"))
    if "storage" not in capacity or len(capacity) > 1:
        errors.append(not_supported("spec.capacity", in_order(capacity) or None, ["storage"]))
    for name, amount in capacity.items():
        if parse(amount) < 0:
            errors.append(
                FieldError("Invalid", f"spec.capacity[{name}]", f"Invalid value: {amount}: must be a valid resource quantity")
            )
        if parse(amount) <= 0:
            errors.append(invalid(f"spec.capacity[{name}]", amount, POSITIVE))
    errors += one_of(spec.get("persistentVolumeReclaimPolicy"), "spec.persistentVolumeReclaimPolicy", _RECLAIM_POLICIES)
    errors += source_errors(spec, "spec")
    if "csi" in spec and not spec["csi"].get("volumeHandle"):
        errors.append(required("spec.csi.volumeHandle"))
    if spec.get("storageClassName"):
        errors += subdomain(spec["storageClassName"], "spec.storageClassName")
    errors += one_of(spec.get("volumeMode"), "spec.volumeMode", VOLUME_MODES)
    if old is None:
        return errors
    if _fixed_sources(spec, old["spec"]) != sources_of(old["spec"]):
        text = "spec.persistentvolumesource is immutable after creation"
        errors.append(forbidden("spec.persistentvolumesource", text))
    if spec.get("volumeMode") != old["spec"].get("volumeMode"):
        errors.append(invalid("volumeMode", spec.get("volumeMode"), IMMUTABLE))
    return errors


def _fixed_sources(spec: Object, old: Object) -> Object:
    """The source, without a secret for expansions that was not there before, which may be added."""
    sources = sources_of(spec)
    csi = sources.get("csi")
    if csi and _EXPANSION in csi and _EXPANSION not in (old.get("csi") or {}):
        sources["csi"] = {name: value for name, value in csi.items() if name != _EXPANSION}
    return sources


def class_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a StorageClass."""
    provisioner = obj.get("provisioner") or ""
    errors = [
        invalid("provisioner", provisioner.lower(), text)
        for text in (qualified_name_errors(provisioner.lower()) if provisioner else ())
    ]
    errors += _parameters_errors(obj.get("parameters") or {}, empty_allowed=True)
    errors += one_of(obj.get("reclaimPolicy"), "reclaimPolicy", _OF_CLASSES)
    errors += one_of(obj.get("volumeBindingMode"), "volumeBindingMode", _BINDING_MODES, missing="")
    errors += _topology_errors(obj)
    if not provisioner:
        errors.append(required("provisioner"))
    if old is not None:
        fixed = ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode")
        errors += [invalid(name, None, IMMUTABLE) for name in fixed if obj.get(name) != old.get(name)]
    return errors


def _topology_errors(obj: Object) -> list[FieldError]:
    """The errors of the terms of a StorageClass that say where volumes may be (ValidateTopologySelectorTerm)."""
    errors: list[FieldError] = []
    # Upstream compares with terms that are not there, too, which are like an empty one.
    known: set[frozenset[tuple[str, frozenset[str]]]] = {frozenset()}
    for number, term in while_few(errors, enumerate(obj.get("allowedTopologies") or ())):
        place = f"allowedTopologies[{number}]"
        keys: dict[str, frozenset[str]] = {}
        for path, each in while_few(errors, items(term, "matchLabelExpressions", place)):
            key, values = each.get("key") or "", each.get("values") or []
            if not values:
                errors.append(required(f"{path}.values"))
            seen: set[str] = set()
            for index, value in while_few(errors, enumerate(values)):
                errors += [duplicate(f"{path}.values[{index}]", value)] if value in seen else []
                seen.add(value)
            errors += [invalid(f"{path}.key", key, text) for text in qualified_name_errors(key)]
            if key in keys:
                errors.append(duplicate(f"{path}.key", key))
            keys[key] = frozenset(seen)
        if frozenset(keys.items()) in known:
            errors.append(duplicate(f"{place}.matchLabelExpressions", ""))
        known.add(frozenset(keys.items()))
    return errors


def _parameters_errors(parameters: Mapping[str, str], *, empty_allowed: bool) -> list[FieldError]:
    errors = []
    if len(parameters) > _PARAMETERS_MAX:
        text = f"Too long: may not be more than {_PARAMETERS_MAX} bytes"
        errors.append(FieldError("TooLong", "Provisioner Parameters Length", text))
    if "" in parameters:
        errors.append(invalid("parameters", "", "field can not be empty."))
    if sum(len(name) + len(value) for name, value in parameters.items()) > _PARAMETERS_BYTES:
        errors.append(FieldError("TooLong", "parameters", f"Too long: may not be more than {_PARAMETERS_BYTES} bytes"))
    if not parameters and not empty_allowed:
        errors.append(required("parameters", "must contain at least one key/value pair"))
    return errors


def attributes_class_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a VolumeAttributesClass."""
    driver = obj.get("driverName") or ""
    fixed = () if old is None else ("driverName", "parameters")
    errors = [
        forbidden(name, f"updates to {name} are forbidden.")
        for name in fixed
        if old is not None and obj.get(name) != old.get(name)
    ]
    errors += [invalid("driverName", driver.lower(), text) for text in (qualified_name_errors(driver.lower()) if driver else ())]
    if not driver:
        errors.append(required("driverName"))
    return errors + _parameters_errors(obj.get("parameters") or {}, empty_allowed=False)


def driver_errors(obj: Object, old: Object | None) -> list[FieldError]:
    """Validates a CSIDriver."""
    spec = obj["spec"]
    errors = member(spec.get("fsGroupPolicy"), "spec.fsGroupPolicy", _FS_GROUP_POLICIES)
    errors += _token_request_errors(spec)
    for mode in spec.get("volumeLifecycleModes") or ():
        errors += member(mode, "spec.volumeLifecycleModes", _LIFECYCLE_MODES)
    period, secrets = spec.get("nodeAllocatableUpdatePeriodSeconds"), spec.get("serviceAccountTokenInSecrets")
    if period is not None and period < _UPDATE_SECONDS_MIN:
        text = f"must be greater than or equal to {_UPDATE_SECONDS_MIN} seconds"
        errors.append(invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, text))
    if secrets is not None and not spec.get("tokenRequests"):
        text = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
        errors.append(invalid("spec.serviceAccountTokenInSecrets", secrets, text))
    if old is not None:
        # Upstream names a field that there is not.
        for name, shown in (("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")):
            if spec.get(name) != old["spec"].get(name):
                errors.append(invalid(f"spec.{shown}", spec.get(name), IMMUTABLE))
    return errors


def _token_request_errors(spec: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    audiences: set[str] = set()
    for here, each in while_few(errors, items(spec, "tokenRequests", "spec")):
        audience, seconds = each.get("audience") or "", each.get("expirationSeconds")
        if audience in audiences:
            errors.append(duplicate(f"{here}.audience", audience))
            continue
        audiences.add(audience)
        if seconds is not None and seconds < _TOKEN_SECONDS_MIN:
            text = "may not specify a duration less than 10 minutes"
            errors.append(invalid(f"{here}.expirationSeconds", seconds, text))
        if seconds is not None and seconds > 1 << 32:
            text = "may not specify a duration larger than 2^32 seconds"
            errors.append(invalid(f"{here}.expirationSeconds", seconds, text))
    return errors
