"""Validation of metadata (k8s.io/apimachinery/pkg/api/validation). It is the same for every type."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.field_errors import IMMUTABLE, VALUE_CHARACTERS, forbidden, invalid, required, show, too_long, while_few
from tenantry.kube.finalizers import FOREGROUND, ORPHAN, unqualified_errors
from tenantry.kube.label_selector_validation import label_errors
from tenantry.kube.names import qualified_name_errors
from tenantry.kube.objects import Object, split_api_version
from tenantry.kube.status import CAUSES_MAX, FieldError, cut

MAX_ANNOTATIONS_BYTES = 256 * 1024
_IMMUTABLE_FIELDS = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


def validate_metadata(obj: Object, old: Object | None, definition: ResourceDefinition) -> list[FieldError]:
    """The errors of an object's metadata. `old` is None on create.

    System fields that an update may leave out or change without effect (generation, creationTimestamp) are restored before this.
    """
    metadata = obj.get("metadata") or {}
    if old is None:
        errors = _name_errors(metadata, definition)
        if (metadata.get("generation") or 0) < 0:
            errors.append(invalid("metadata.generation", metadata["generation"], "must be greater than or equal to 0"))
    else:
        errors = _update_errors(metadata, old.get("metadata") or {})
    labels, annotations = metadata.get("labels"), metadata.get("annotations")
    if labels:
        errors += label_errors(labels, "metadata.labels")
    if annotations:
        errors += _annotation_errors(annotations)
    if metadata.get("ownerReferences"):
        errors += _owner_errors(metadata["ownerReferences"])
    if metadata.get("finalizers"):
        errors += _finalizer_errors(metadata["finalizers"], definition)
    return errors


def metadata_warnings(obj: Object, definition: ResourceDefinition, old: Object | None = None) -> list[str]:
    """Warnings about metadata that is allowed but probably wrong: repeated owners, and new finalizers of a custom resource
    without a domain."""
    metadata = obj.get("metadata") or {}
    warnings: list[str] = []
    owners = metadata.get("ownerReferences")
    if owners and len(owners) > 1:
        times = Counter(owner.get("uid") or "" for owner in owners)
        twice = sorted(uid for uid, count in times.items() if count > 1)
        if twice:
            warnings.append(
                ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may "
                "reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
                + cut(", ".join(twice[:CAUSES_MAX]), VALUE_CHARACTERS)
            )
    if definition.custom:
        advice = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
        known = frozenset(((old or {}).get("metadata") or {}).get("finalizers") or ())
        loose = (f for f in metadata.get("finalizers") or () if f and f not in known and unqualified_errors("", f))
        warnings.extend(f'metadata.finalizers: "{cut(f, VALUE_CHARACTERS)}": {advice}' for f in islice(loose, CAUSES_MAX))
    return warnings


def _name_errors(metadata: Object, definition: ResourceDefinition) -> list[FieldError]:
    errors: list[FieldError] = []
    name_errors = definition.strategy.name_errors
    base, name = metadata.get("generateName") or "", metadata.get("name") or ""
    if base:
        errors += [invalid("metadata.generateName", base, text) for text in name_errors(base, prefix=True)]
    if not name:
        errors.append(required("metadata.name", "name or generateName is required"))
    else:
        errors += [invalid("metadata.name", name, text) for text in name_errors(name, prefix=False)]
    return errors


def _update_errors(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    if old.get("deletionTimestamp"):
        added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if added:
            listed = cut(", ".join(f'"{name}"' for name in added[:CAUSES_MAX]), VALUE_CHARACTERS)
            text = "no new finalizers can be added if the object is being deleted, found new finalizers []string{" + listed + "}"
            errors.append(forbidden("metadata.finalizers", text))
    changed = [field for field in _IMMUTABLE_FIELDS if (new.get(field) or None) != (old.get(field) or None)]
    return errors + [invalid(f"metadata.{field}", new.get(field), IMMUTABLE) for field in changed]


def _annotation_errors(annotations: dict[str, str]) -> list[FieldError]:
    errors: list[FieldError] = []
    total = 0
    for key, value in annotations.items():
        # Case does not matter in the keys of annotations.
        if len(errors) < CAUSES_MAX:
            errors += [invalid("metadata.annotations", key, text) for text in qualified_name_errors(key.lower())]
        total += len(key) + (len(value) if value.isascii() else len(value.encode()))
    if total > MAX_ANNOTATIONS_BYTES:
        errors.append(too_long("metadata.annotations", MAX_ANNOTATIONS_BYTES))
    return errors


def _owner_errors(owners: list[Any]) -> list[FieldError]:
    path = "metadata.ownerReferences"
    errors: list[FieldError] = []
    controller = ""
    all_shown = ""
    for owner in while_few(errors, owners):
        api_version, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
        group, version = split_api_version(api_version)
        if not version or "/" in group:
            errors.append(invalid(f"{path}.apiVersion", api_version, "version must not be empty"))
        errors += [invalid(f"{path}.{f}", "", "must not be empty") for f in ("kind", "name", "uid") if not owner.get(f)]
        if api_version == "v1" and kind == "Event":
            errors.append(invalid(path, _shown(owner), "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            this = f"{kind}/{owner.get('name') or ''}"
            if controller:
                text = 'Only one reference can have Controller set to true. Found "true" in references for '
                all_shown = all_shown or show([_shown(o) for o in owners[:CAUSES_MAX]])
                detail = f"{text}{cut(controller, VALUE_CHARACTERS)} and {cut(this, VALUE_CHARACTERS)}"
                errors.append(FieldError("Invalid", path, f"Invalid value: {all_shown}: {detail}"))
            else:
                controller = this
    return errors


def _shown(owner: Object) -> Object:
    order = ("apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion")
    return {field: owner[field] for field in order if field in owner}


def _finalizer_errors(finalizers: list[str], definition: ResourceDefinition) -> list[FieldError]:
    errors: list[FieldError] = []
    path = "metadata.finalizers"
    for index, finalizer in while_few(errors, enumerate(finalizers)):
        errors += [invalid(path, finalizer, text) for text in qualified_name_errors(finalizer)]
        if not (definition.custom or definition.strategy.bare_finalizers):
            errors += unqualified_errors(f"{path}[{index}]", finalizer)
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        errors.append(invalid(path, finalizers, f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"))
    return errors
