"""Validation of metadata (k8s.io/apimachinery/pkg/api/validation). It is the same for every type."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.field_errors import (
    IMMUTABLE,
    VALUE_CHARACTERS,
    forbidden,
    invalid,
    not_supported,
    required,
    show,
    too_long,
    while_few,
)
from tenantry.kube.finalizers import FOREGROUND, ORPHAN, unqualified_errors
from tenantry.kube.label_selector_validation import label_errors
from tenantry.kube.names import dns1123_label_errors, path_segment_errors, qualified_name_errors
from tenantry.kube.objects import Object, split_api_version
from tenantry.kube.status import CAUSES_MAX, FieldError, cut

MAX_ANNOTATIONS_BYTES = 256 * 1024
_OWNER_FIELDS = ("apiVersion", "kind", "name", "uid")
_IMMUTABLE_FIELDS = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")


_MANAGER_BYTES_MAX, _SUBRESOURCE_BYTES_MAX = 128, 256


def with_metadata_errors(
    obj: Object, old: Object | None, definition: ResourceDefinition, errors_of_type: Callable[[], list[FieldError]]
) -> list[FieldError]:
    """The errors of an object's metadata and those of its type, in upstream's order. `old` is None on create."""
    strategy = definition.strategy
    if old is None and not strategy.metadata_first:
        return errors_of_type() or validate_metadata(obj, old, definition)
    errors = validate_metadata(obj, old, definition)
    if old is not None and definition.custom:
        # Upstream validates the metadata of custom resources twice, in general and for the type: each cause comes twice.
        errors = errors * 2
    errors += errors_of_type()
    if old is None and strategy.name_last:
        name = obj["metadata"].get("name") or ""
        # Declarative validation counts bytes.
        texts = (text.replace("253 characters", "253 bytes") for text in strategy.name_errors(name, prefix=False)[:1])
        errors += [invalid("metadata.name", name, text) for text in texts]
    return errors


def validate_metadata(obj: Object, old: Object | None, definition: ResourceDefinition) -> list[FieldError]:
    """The errors of an object's metadata. `old` is None on create.

    System fields that an update may leave out or change without effect (generation, creationTimestamp) are restored before this.
    """
    metadata = obj.get("metadata") or {}
    strategy, base = definition.strategy, metadata.get("generateName") or ""
    if old is None:
        errors = [] if strategy.name_last else _name_errors(metadata, definition)
        if (metadata.get("generation") or 0) < 0:
            errors.append(invalid("metadata.generation", metadata["generation"], "must be greater than or equal to 0"))
    else:
        errors = [invalid("metadata.generateName", base, text) for text in path_segment_errors(base, prefix=True)]
        errors += _update_errors(metadata, old.get("metadata") or {})
    if metadata.get("labels"):
        errors += label_errors(metadata["labels"], "metadata.labels")
    if metadata.get("annotations"):
        errors += annotation_errors(metadata["annotations"], "metadata.annotations")
    if metadata.get("ownerReferences"):
        errors += _owner_errors(metadata["ownerReferences"], "metadata.ownerReferences")
    finalizers = metadata.get("finalizers") or []
    if finalizers:
        errors += _finalizer_errors(finalizers, "metadata.finalizers")
    again: list[FieldError] = []
    if base and old is not None and strategy.prefix_on_update:
        texts = (text for text in strategy.name_errors(base, prefix=True) if text not in path_segment_errors(base, prefix=True))
        again = [invalid("metadata.generateName", base, text) for text in texts]
    bare = not finalizers or definition.custom or strategy.bare_finalizers
    domains = [] if bare else _domain_errors(finalizers, "metadata.finalizers")
    return errors + (again + domains if strategy.prefix_on_update == "before" else domains + again)


def embedded_metadata_errors(metadata: Object, path: str) -> list[FieldError]:
    """The errors of the metadata of an object inside of another one. It has been decoded as an ObjectMeta. The name may be
    missing, and has to be a path segment."""
    errors: list[FieldError] = []
    base, name, namespace = (metadata.get(field) or "" for field in ("generateName", "name", "namespace"))
    errors += [invalid(f"{path}.generateName", base, text) for text in path_segment_errors(base, prefix=True)]
    errors += [invalid(f"{path}.name", name, text) for text in path_segment_errors(name)]
    if namespace:
        errors += [invalid(f"{path}.namespace", namespace, text) for text in dns1123_label_errors(namespace)]
    if (metadata.get("generation") or 0) < 0:
        errors.append(invalid(f"{path}.generation", metadata["generation"], "must be greater than or equal to 0"))
    errors += label_errors(metadata.get("labels") or {}, f"{path}.labels")
    errors += annotation_errors(metadata.get("annotations") or {}, f"{path}.annotations")
    errors += _owner_errors(metadata.get("ownerReferences") or [], f"{path}.ownerReferences")
    errors += _finalizer_errors(metadata.get("finalizers") or [], f"{path}.finalizers")
    return errors + _manager_errors(metadata.get("managedFields") or [], f"{path}.managedFields")


def owner_warnings(obj: Object) -> list[str]:
    """Warnings about owners that are repeated."""
    warnings: list[str] = []
    owners = (obj.get("metadata") or {}).get("ownerReferences")
    if owners and len(owners) > 1:
        _, repeated = without_repeated(owners)
        twice = [owner.get("uid") or "" for owner in repeated]
        if twice:
            warnings.append(
                ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may "
                "reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
                + cut(", ".join(twice[:CAUSES_MAX]), VALUE_CHARACTERS)
            )
    return warnings


def without_repeated(owners: Sequence[Object]) -> tuple[list[Object], list[Object]]:
    """The owner references without those that are equal to an earlier one, and these."""
    kept: dict[frozenset[tuple[str, Any]], Object] = {}
    repeated: list[Object] = []
    for owner in owners:
        key = frozenset(owner.items())
        if key in kept:
            repeated.append(owner)
        else:
            kept[key] = owner
    return list(kept.values()), repeated


def finalizer_warnings(obj: Object, old: Object | None = None) -> list[str]:
    """Warnings about new finalizers of a custom resource that have no domain."""
    known = frozenset(((old or {}).get("metadata") or {}).get("finalizers") or ())
    loose = (f for f in (obj.get("metadata") or {}).get("finalizers") or () if f and f not in known and unqualified_errors("", f))
    warnings = []
    for name in islice(loose, CAUSES_MAX):
        path = " including a path (/)" if "." in name else ""
        shown = cut(name, VALUE_CHARACTERS)
        advice = f"prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        warnings.append(f'metadata.finalizers: "{shown}": {advice}')
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
    changed = [
        field
        for field in _IMMUTABLE_FIELDS
        # A missing value and an empty one are the same.
        if new.get(field) != old.get(field) and (new.get(field) or None) != (old.get(field) or None)
    ]
    return errors + [invalid(f"metadata.{field}", new.get(field), IMMUTABLE) for field in changed]


def annotation_errors(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    """The errors of the keys of annotations, and of their size."""
    errors: list[FieldError] = []
    total = 0
    for key, value in annotations.items():
        # Case does not matter in the keys of annotations.
        if len(errors) < CAUSES_MAX:
            errors += [invalid(path, key, text) for text in qualified_name_errors(key.lower())]
        total += len(key) + (len(value) if value.isascii() else len(value.encode()))
    if total > MAX_ANNOTATIONS_BYTES:
        errors.append(too_long(path, MAX_ANNOTATIONS_BYTES))
    return errors


def _owner_errors(owners: list[Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    controller = ""
    all_shown = ""
    for index, owner in while_few(errors, enumerate(owners)):
        place = f"{path}[{index}]"
        api_version, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
        group, version = split_api_version(api_version)
        if api_version and (not version or "/" in group):
            errors.append(invalid(f"{place}.apiVersion", api_version, "must be <group>/<version> or <version>"))
        errors += [required(f"{place}.{f}", "must not be empty") for f in _OWNER_FIELDS if not owner.get(f)]
        if api_version == "v1" and kind == "Event":
            errors.append(invalid(place, _shown(owner), "/v1, Kind=Event is disallowed from being an owner"))
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


def _manager_errors(managers: list[Any], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, entry in while_few(errors, enumerate(managers)):
        place, operation = f"{path}[{index}]", entry.get("operation") or ""
        if not operation:
            errors.append(required(f"{place}.operation", "must not be empty"))
        elif operation not in ("Apply", "Update"):
            errors.append(not_supported(f"{place}.operation", operation, ("Apply", "Update")))
        if (entry.get("fieldsType") or "FieldsV1") != "FieldsV1":
            errors.append(invalid(f"{place}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        manager, subresource = entry.get("manager") or "", entry.get("subresource") or ""
        if len(manager.encode(errors="replace")) > _MANAGER_BYTES_MAX:
            errors.append(too_long(f"{place}.manager", _MANAGER_BYTES_MAX))
        if not (manager.isprintable() or not manager):
            errors.append(invalid(f"{place}.manager", manager, "should only contain printable characters"))
        if len(subresource.encode(errors="replace")) > _SUBRESOURCE_BYTES_MAX:
            errors.append(too_long(f"{place}.subresource", _SUBRESOURCE_BYTES_MAX))
    return errors


def _domain_errors(finalizers: list[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for index, finalizer in while_few(errors, enumerate(finalizers)):
        errors += unqualified_errors(f"{path}[{index}]", finalizer)
    return errors


def _finalizer_errors(finalizers: list[str], path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for _, finalizer in while_few(errors, enumerate(finalizers)):
        errors += [invalid(path, finalizer, text) for text in qualified_name_errors(finalizer)]
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        errors.append(invalid(path, finalizers, f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"))
    return errors
