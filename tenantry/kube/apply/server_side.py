"""Server-side apply: merges a configuration into an object and decides which manager owns which field (structured-merge-diff's
Updater.Apply)."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from typing import Any

from tenantry.kube.apply import field_set
from tenantry.kube.apply.field_set import FieldSet
from tenantry.kube.apply.last_applied import MANAGER as KUBECTL
from tenantry.kube.apply.last_applied import refresh_annotation, upgradable_fields
from tenantry.kube.apply.managed_fields import (
    ResetFields,
    compare_objects,
    drop_unserved,
    excluded,
    record,
    strip,
    take_from_all,
)
from tenantry.kube.apply.managers import BEFORE_FIRST_APPLY, Manager, Managers, OwnedFields, applier, decode, encode
from tenantry.kube.apply.merge import merge
from tenantry.kube.apply.owned_fields import fields_of, reconcile_with_schema, remove_fields, with_named_fields
from tenantry.kube.apply.typed import ABSENT, Node, TypedError, compile_schema, is_built_in
from tenantry.kube.apply.typed_validation import error_text, validate
from tenantry.kube.objects import Object, split_api_version
from tenantry.kube.patch.json_values import copy_of
from tenantry.kube.schema.structural import Schema
from tenantry.kube.status import CAUSES_MAX, Cause, StatusError, bad_request, bounded_causes


def apply(
    live: Object | None,
    config: Object,
    *,
    manager: str,
    force: bool,
    api_version: str,
    schema: Schema,
    subresource: str = "",
    now: str,
    reset_fields: ResetFields = (),
    kind: str = "",
    versions: Collection[str] | None = None,
) -> Object:
    """The object after a manager applied its configuration. `live` is None where the object is created. The inputs are not
    changed.

    `api_version`, `kind` and `schema` are those of the endpoint (an empty `kind` is taken from the live object). `now` is a
    metav1.Time. `versions` are the apiVersions that the type is served in: entries of other versions are dropped (None keeps
    all). The caller does defaulting and validation, and detects a write without changes. Where the merge changes nothing, the
    times in managedFields stay.

    Raises StatusError: 400 for a wrong type or for managedFields in the configuration, 500 where the configuration does not match
    the schema (upstream's code), 409 on a conflict without `force`, with a cause for each field.
    """
    _check_type(config, api_version, kind or (live or {}).get("kind", ""))
    node = compile_schema(schema)
    kept = live.get("metadata", {}).get("managedFields") if live is not None else None
    managers = decode(kept, trusted=True)
    if not managers and live is not None:
        try:
            _record_before_first_apply(managers, live, node, api_version, subresource, now, reset_fields)
        except TypedError as error:
            raise _failure(f"failed to create typed live object ({_describe(live)}): {error}") from error
    given = config.get("metadata")
    if isinstance(given, dict) and given.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    if errors := validate(node, config):
        raise _failure(f"failed to create typed patch object ({_describe(config)}): {error_text(errors)}")
    drop_unserved(managers, versions)
    if not is_built_in(schema):
        for owned in managers.values():
            owned.fields = reconcile_with_schema(owned.fields, node)
    base = _without_managers(live or {})
    applying = applier(manager, subresource)
    try:
        result, managers = _merge_and_own(
            base, config, node, managers, applying, api_version=api_version, reset=excluded(reset_fields), force=force
        )
    except TypedError as error:
        raise _failure(f"failed to merge config: {error}") from error
    if applying in managers and (live is None or _differs(base, result)):
        managers[applying].time = now
    # A copy: the merge shares the parts that it did not touch with its inputs.
    out: Object = copy_of(result)
    metadata = out["metadata"] = out.get("metadata") or {}
    if manager == KUBECTL:
        refresh_annotation(metadata, config)
    if managers:
        metadata["managedFields"] = encode(managers)
    return out


def _merge_and_own(
    live: Object,
    config: Object,
    node: Node,
    managers: Managers,
    applying: Manager,
    *,
    api_version: str,
    reset: FieldSet,
    force: bool,
) -> tuple[Object, Managers]:
    merged = merge(node, live, config)
    last = managers.get(applying)
    owned = field_set.recursive_difference(fields_of(node, config), reset)
    managers[applying] = OwnedFields(owned, api_version, last.time if last else "")
    result: Object = {} if merged is ABSENT else merged
    if last is not None and last.fields:
        result = _prune(result, node, last.fields, managers)
    changes = compare_objects(node, live, result).without(reset)
    _take_ownership(
        managers, applying, field_set.union(changes.modified, changes.added), changes.removed, force, (live, node, api_version)
    )
    mine = strip(managers[applying].fields)
    if mine:
        managers[applying].fields = field_set.ordered(mine)
    else:
        del managers[applying]
    return result, managers


def _take_ownership(
    managers: Managers,
    applying: Manager,
    changed: FieldSet,
    removed: FieldSet,
    force: bool,
    context: tuple[Object, Node, str],
) -> None:
    """Takes changed and removed fields away from the other managers, or raises the conflict. Changes `managers`."""
    mine = managers.pop(applying)
    conflicts = {}
    for other, owned in managers.items():
        both = field_set.intersection(owned.fields, changed)
        if both:
            conflicts[other] = both
    if conflicts and not force and applying.name == KUBECTL:
        allowed = upgradable_fields(*context)
        left = {other: field_set.difference(fields, allowed) for other, fields in conflicts.items()}
        conflicts = {other: fields for other, fields in left.items() if fields}
    if conflicts and not force:
        raise _conflict(conflicts)
    take_from_all(managers, changed)
    take_from_all(managers, removed)
    managers[applying] = mine


def _prune(merged: Object, node: Node, last: FieldSet, managers: Managers) -> Object:
    """The object without fields that the manager applied last time and does not apply now, unless another manager owns them.

    Three steps, as upstream: remove all fields of the last apply, add back what any manager owns, and add back what this manager
    never owned but was removed with its container.
    """
    last_named = with_named_fields(last, node)
    merged_fields = with_named_fields(fields_of(node, merged), node)
    managed = field_set.union_all(owned.fields for owned in managers.values())
    pruned = remove_fields(node, merged, last_named)
    pruned_fields = with_named_fields(fields_of(node, pruned), node)
    keep = field_set.union(pruned_fields, with_named_fields(managed, node))
    pruned = remove_fields(node, merged, field_set.difference(merged_fields, keep))
    pruned_fields = with_named_fields(fields_of(node, pruned), node)
    gone = field_set.intersection(field_set.difference(merged_fields, pruned_fields), last_named)
    out: Object = remove_fields(node, merged, gone)
    return out


def _record_before_first_apply(
    managers: Managers, live: Object, node: Node, api_version: str, subresource: str, now: str, reset_fields: ResetFields
) -> None:
    """Gives the fields of an object without managers to a manager of its own, before the first apply."""
    record(
        managers,
        live,
        None,
        manager=BEFORE_FIRST_APPLY,
        api_version=api_version,
        node=node,
        changing_schema=False,
        subresource=subresource,
        now=now,
        reset_fields=reset_fields,
        versions=None,
    )


def _without_managers(obj: Object) -> Object:
    metadata = obj.get("metadata")
    if not metadata or "managedFields" not in metadata:
        return obj
    return {**obj, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _differs(live: Object, result: Object) -> bool:
    """Whether the merge changed anything. apiVersion and kind do not count: a stored object may not have them."""
    if live == result:
        return False
    return any(live.get(name) != result.get(name) for name in {*live, *result} - {"apiVersion", "kind"})


def _text(value: Any, *names: str) -> str:
    """The text at a place in the configuration. Empty where there is none or it is not a string (upstream's unstructured)."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _check_type(config: Any, api_version: str, kind: str) -> None:
    given_version, given_kind = _text(config, "apiVersion"), _text(config, "kind")
    if given_version != api_version or not given_kind or (kind and given_kind != kind):
        raise bad_request(f"invalid object type: {_type_text(given_version, given_kind)}")


def _type_text(api_version: str, kind: str) -> str:
    """Go's GroupVersionKind as text: `/v1, Kind=ConfigMap`."""
    group, version = split_api_version(api_version)
    return f"{group}/{version}, Kind={kind}"


def _describe(config: Object) -> str:
    place = f"{_text(config, 'metadata', 'namespace')}/{_text(config, 'metadata', 'name')}"
    return f"{place}; {_type_text(_text(config, 'apiVersion'), _text(config, 'kind'))}"


def not_converted(config: Object, why: str) -> StatusError:
    """For a configuration whose values do not fit the Go types of a built-in type."""
    to = _type_text(_text(config, "apiVersion"), _text(config, "kind"))
    what = f"failed to convert new object ({_describe(config)}) to proper version"
    return _failure(f"{what}: unable to convert unstructured object to {to}: {why}")


def _failure(message: str) -> StatusError:
    """Upstream's answer to an error that has no code of its own."""
    return StatusError(500, "", message)


def _conflict(conflicts: dict[Manager, FieldSet]) -> StatusError:
    count = sum(map(field_set.size, conflicts.values()))
    found: list[tuple[Manager, list[str]]] = []
    left = CAUSES_MAX
    for other in sorted(conflicts, key=lambda m: m.sort_key):
        shown = [field_set.display(path) for path in islice(field_set.paths(conflicts[other]), left)]
        left -= len(shown)
        if shown:
            found.append((other, shown))
    if count == 1:
        other, shown = found[0]
        text = f"Apply failed with 1 conflict: conflict with {other.text}: {shown[0]}"
    else:
        lines = []
        for other, shown in found:
            lines.append(f"conflicts with {other.text}:")
            lines += [f"- {path}" for path in shown]
        text = f"Apply failed with {count} conflicts: " + "\n".join(lines)
    causes = (Cause("FieldManagerConflict", f"conflict with {other.text}", path) for other, shown in found for path in shown)
    return StatusError(409, "Conflict", text, details={"causes": bounded_causes(causes)})
