"""Converts APIExports and APIBindings between v1alpha1 and v1alpha2, which is the storage version.

Fields that the other version does not have are kept in annotations, so that a round trip loses nothing (kcp). All functions
change the object in place and return it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from tenantry.kube.codec.json_size import nests_too_deeply
from tenantry.kube.objects import Object, annotations_of

RESOURCE_SCHEMAS = "apis.v1alpha2.kcp.io/resource-schemas"
PERMISSION_CLAIMS = "apis.v1alpha2.kcp.io/permission-claims"
OLD_PERMISSION_CLAIMS = "apis.v1alpha2.kcp.io/v1alpha1-permission-claims"
ACCEPTABLE_CLAIMS = "apis.v1alpha2.kcp.io/acceptable-permission-claims"
EXPORT_CLAIMS_STATUS = "apis.v1alpha2.kcp.io/status-export-permission-claims"
APPLIED_CLAIMS_STATUS = "apis.v1alpha2.kcp.io/status-applied-permission-claims"

Claim = dict[str, Any]
_NEW_ONLY = ("verbs", "defaultSelector", "selector")
_OLD_ONLY = ("all", "resourceSelector")


def export_up(obj: Object) -> Object:
    """APIExport v1alpha1 → v1alpha2."""
    spec = obj.get("spec")
    if spec is None:
        return obj
    kept = {entry["schema"]: entry for entry in _take(obj, RESOURCE_SCHEMAS) if isinstance(entry.get("schema"), str)}
    names = spec.pop("latestResourceSchemas", None) or []
    resources = [kept.get(name) or _resource(name) for name in names]
    resources.extend(entry for entry in kept.values() if entry["schema"] not in names)
    if resources:
        spec["resources"] = resources
    _claims_up(obj, spec, "permissionClaims", PERMISSION_CLAIMS, lambda claim: {})
    return obj


def export_down(obj: Object) -> Object:
    """APIExport v1alpha2 → v1alpha1."""
    spec = obj.get("spec")
    if spec is None:
        return obj
    resources = spec.pop("resources", None) or []
    plain = [entry for entry in resources if "virtual" not in (entry.get("storage") or {})]
    if plain:
        spec["latestResourceSchemas"] = [entry["schema"] for entry in plain]
    kept = [entry for entry in resources if entry not in plain or entry != _resource(entry["schema"])]
    if kept:
        _note(obj, RESOURCE_SCHEMAS, kept)
    _claims_down(obj, spec, "permissionClaims", PERMISSION_CLAIMS)
    return obj


def binding_up(obj: Object) -> Object:
    """APIBinding v1alpha1 → v1alpha2."""
    selector = {"selector": {"matchAll": True}}
    _claims_up(obj, obj.get("spec") or {}, "permissionClaims", ACCEPTABLE_CLAIMS, lambda claim: dict(selector))
    status = obj.get("status") or {}
    _claims_up(obj, status, "exportPermissionClaims", EXPORT_CLAIMS_STATUS, lambda claim: {})
    _claims_up(obj, status, "appliedPermissionClaims", APPLIED_CLAIMS_STATUS, lambda claim: dict(selector))
    return obj


def binding_down(obj: Object) -> Object:
    """APIBinding v1alpha2 → v1alpha1."""
    _claims_down(obj, obj.get("spec") or {}, "permissionClaims", ACCEPTABLE_CLAIMS)
    status = obj.get("status") or {}
    _claims_down(obj, status, "exportPermissionClaims", EXPORT_CLAIMS_STATUS)
    _claims_down(obj, status, "appliedPermissionClaims", APPLIED_CLAIMS_STATUS)
    return obj


def _resource(schema_name: str) -> Object:
    """The entry of `spec.resources` of a schema with the name `<prefix>.<resource>.<group>`."""
    _, _, rest = schema_name.partition(".")
    resource, _, group = rest.partition(".")
    return {"name": resource, "group": "" if group == "core" else group, "schema": schema_name, "storage": {"crd": {}}}


def _claims_up(obj: Object, where: Object, field: str, annotation: str, missing: Callable[[Claim], Claim]) -> None:
    """`missing`: the fields, besides the verbs, of a claim that is not in the annotation."""
    remembered = {_identity(claim): claim for claim in _take(obj, annotation)}
    old: list[Claim] = []
    converted: list[Claim] = []
    for claim in where.get(field) or ():
        if claim.get("resourceSelector"):
            old.append(dict(claim))
        fresh = {k: v for k, v in claim.items() if k not in _OLD_ONLY}
        known = remembered.get(_identity(claim))
        fresh.update({k: known[k] for k in _NEW_ONLY if k in known} if known is not None else {"verbs": ["*"], **missing(claim)})
        converted.append(fresh)
    if converted:
        where[field] = converted
    if old:
        _note(obj, f"{OLD_PERMISSION_CLAIMS}-{field}" if field != "permissionClaims" else OLD_PERMISSION_CLAIMS, old)


def _claims_down(obj: Object, where: Object, field: str, annotation: str) -> None:
    claims = where.get(field) or ()
    if not claims:
        return
    old_annotation = f"{OLD_PERMISSION_CLAIMS}-{field}" if field != "permissionClaims" else OLD_PERMISSION_CLAIMS
    old = {_identity(claim): claim for claim in _take(obj, old_annotation)}
    converted = []
    for claim in claims:
        before = old.get(_identity(claim)) or {}
        chosen = before.get("resourceSelector")
        selection = {"resourceSelector": chosen} if isinstance(chosen, list) and chosen else {"all": True}
        converted.append({k: v for k, v in claim.items() if k not in _NEW_ONLY} | selection)
    _note(obj, annotation, [{k: v for k, v in claim.items() if k != "state"} for claim in claims])
    where[field] = converted


def _identity(claim: Claim) -> tuple[str, str, str]:
    return str(claim.get("group") or ""), str(claim.get("resource") or ""), str(claim.get("identityHash") or "")


def _take(obj: Object, annotation: str) -> list[Claim]:
    """Removes an annotation and returns the objects in its list. Invalid JSON, and JSON that nests deeper than bodies may, counts
    as an empty list; entries that are not objects are dropped.

    Users can write the annotation, so the objects may have any fields. Admission validates the result of the conversion
    (`tenantry.tenancy.exports.admission.stored_form`).
    """
    annotations = annotations_of(obj)
    text = annotations.pop(annotation, "")
    if not text:
        return []
    if not annotations:
        del obj["metadata"]["annotations"]
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    if not isinstance(found, list) or nests_too_deeply(found):
        return []
    return [entry for entry in found if isinstance(entry, dict)]


def _note(obj: Object, annotation: str, value: list[Claim]) -> None:
    metadata = obj.setdefault("metadata", {})
    metadata["annotations"] = {**annotations_of(obj), annotation: orjson.dumps(value).decode()}
