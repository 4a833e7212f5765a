"""Server-side apply: merges a configuration into an object and decides which manager owns which field (structured-merge-diff's
Updater.Apply)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

from tenantry.kube.apply import field_set
from tenantry.kube.apply.compare import Comparison
from tenantry.kube.apply.field_set import FieldSet
from tenantry.kube.apply.last_applied import MANAGER as KUBECTL
from tenantry.kube.apply.last_applied import refresh_annotation, upgradable_fields
from tenantry.kube.apply.managed_fields import (
    ResetFields,
    changes_in,
    compare_objects,
    drop_unserved,
    excluded,
    reconcile,
    record,
    strip,
    take,
)
from tenantry.kube.apply.managers import BEFORE_FIRST_APPLY, Manager, Managers, OwnedFields, applier, decode, encode
from tenantry.kube.apply.merge import merge
from tenantry.kube.apply.other_versions import OtherVersions
from tenantry.kube.apply.owned_fields import fields_of, remove_fields, with_named_fields
from tenantry.kube.apply.typed import ABSENT, Node, TypedError, compile_schema, is_built_in
from tenantry.kube.apply.typed_validation import error_text, validate
from tenantry.kube.json_equality import same_json
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
    others: OtherVersions | None = None,
) -> Object:
    """The object after a manager applied its configuration. `live` is None where the object is created. The inputs are not
    changed.

    `api_version`, `kind` and `schema` are those of the endpoint (an empty `kind` is taken from the live object). `now` is a
    metav1.Time. `versions` are the apiVersions that the type is served in: entries of other versions are dropped (None keeps
    all). The caller does defaulting and validation, and detects a write without changes. Where the merge changes nothing, the
    times in managedFields stay.

    `others`: of a type whose versions a webhook converts. Raises NotConverted.

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
    if others is not None and live is not None and (errors := validate(node, _without_managers(live))):
        # What a webhook makes of an object may be anything.
        raise _failure(f"failed to create typed live object ({_describe(live)}): {error_text(errors)}")
    given = config.get("metadata")
    if isinstance(given, dict) and given.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")
    if errors := validate(node, config):
        raise _failure(f"failed to create typed patch object ({_describe(config)}): {error_text(errors)}")
    drop_unserved(managers, versions)
    if not is_built_in(schema):
        try:
            reconcile(managers, live or {}, node, api_version, others)
        except TypedError as error:
            raise _failure(str(error)) from error
    base = _without_managers(live or {})
    applying = applier(manager, subresource)
    try:
        result, managers = _merge_and_own(
            base,
            config,
            node,
            managers,
            applying,
            api_version=api_version,
            reset=excluded(reset_fields),
            force=force,
            others=others,
        )
    except TypedError as error:
        raise _failure(f"failed to merge config: {error}") from error
    if applying in managers and (live is None or _differs(base, result)):
        managers[applying].time = now if subresource != "scale" else managers[applying].time
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
    others: OtherVersions | None,
) -> tuple[Object, Managers]:
    merged = merge(node, live, config)
    last = managers.get(applying)
    owned = field_set.recursive_difference(fields_of(node, config), reset)
    managers[applying] = OwnedFields(owned, api_version, last.time if last else "")
    result: Object = {} if merged is ABSENT else merged
    if last is not None and last.fields:
        if others is None:
            result = _prune(result, node, last.fields, managers)
        else:
            result = _prune_in_versions(result, last, managers, api_version, others)
    changes = compare_objects(node, live, result).without(reset)
    mine = managers.pop(applying)
    found = changes_in(managers, live, result, changes, api_version, reset, others)
    _refuse_conflicts(managers, applying, found, force, (live, node, api_version))
    take(managers, found)
    managers[applying] = mine
    kept = strip(managers[applying].fields)
    if kept:
        managers[applying].fields = field_set.ordered(kept)
    else:
        del managers[applying]
    return result, managers


def _refuse_conflicts(
    managers: Managers,
    applying: Manager,
    found: Mapping[str, Comparison],
    force: bool,
    context: tuple[Object, Node, str],
) -> None:
    """Raises the conflict with other managers, unless `force`. `found`: what changes, by version."""
    if force:
        return
    conflicts = {}
    for other, owned in managers.items():
        change = found[owned.api_version]
        both = field_set.intersection(owned.fields, field_set.union(change.modified, change.added))
        if both:
            conflicts[other] = both
    if conflicts and applying.name == KUBECTL:
        allowed = upgradable_fields(*context)
        left = {other: field_set.difference(fields, allowed) for other, fields in conflicts.items()}
        conflicts = {other: fields for other, fields in left.items() if fields}
    if conflicts:
        raise _conflict(conflicts)


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


def _prune_in_versions(merged: Object, last: OwnedFields, managers: Managers, api_version: str, others: OtherVersions) -> Object:
    """As `_prune`, where the last apply and other managers may be in other versions: each looks at the object in its own."""
    version = last.api_version
    whole = others.converted(merged, api_version, version)
    last_named = with_named_fields(last.fields, others.node(version))
    pruned: Object = remove_fields(others.node(version), whole, last_named)
    at, all_of_it = version, whole
    owned_in: dict[str, list[FieldSet]] = {}
    for owned in managers.values():
        owned_in.setdefault(owned.api_version, []).append(owned.fields)
    for there in sorted(owned_in, key=lambda each: each != version):
        node = others.node(there)
        all_of_it, pruned = others.converted(all_of_it, at, there), others.converted(pruned, at, there)
        at = there
        everything = with_named_fields(fields_of(node, all_of_it), node)
        kept = field_set.union(
            with_named_fields(fields_of(node, pruned), node), with_named_fields(field_set.union_all(owned_in[there]), node)
        )
        pruned = remove_fields(node, all_of_it, field_set.difference(everything, kept))
    node = others.node(version)
    pruned = others.converted(pruned, at, version)
    everything = with_named_fields(fields_of(node, whole), node)
    left = with_named_fields(fields_of(node, pruned), node)
    gone = field_set.intersection(field_set.difference(everything, left), last_named)
    out: Object = remove_fields(node, whole, gone)
    return others.converted(out, version, api_version)


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
    return any(not same_json(live.get(name), result.get(name)) for name in {*live, *result} - {"apiVersion", "kind"})


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


def _failure(message: str) -> StatusError:
    """Upstream's answer to an error that has no code of its own."""
    return StatusError(500, "", message)


def unconverted(config: Object, why: str) -> StatusError:
    """500 for an applied configuration whose result is no object of its type."""
    kind = _type_text(_text(config, "apiVersion"), _text(config, "kind"))
    conversion = f"unable to convert unstructured object to {kind}: {why}"
    return _failure(f"failed to convert new object ({_describe(config)}) to proper version: {conversion}")


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
