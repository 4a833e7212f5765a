"""metadata.managedFields on create, update and patch: which manager wrote which field."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tenantry.base.cache import cached
from tenantry.kube.apply import field_set
from tenantry.kube.apply.compare import Comparison, compare
from tenantry.kube.apply.field_set import FieldSet, field_path
from tenantry.kube.apply.managers import Managers, OwnedFields, cap_updates, decode, encode, is_reset, updater
from tenantry.kube.apply.other_versions import NotConverted, OtherVersions
from tenantry.kube.apply.owned_fields import reconcile_with_schema
from tenantry.kube.apply.typed import Node, TypedError, compile_schema, is_built_in
from tenantry.kube.apply.typed_validation import validate
from tenantry.kube.json_equality import same_json
from tenantry.kube.objects import Object
from tenantry.kube.schema.structural import Schema

ResetFields = tuple[tuple[str, ...], ...]
"""Paths, as tuples of field names, that an endpoint ignores in the body: `(("status",),)` on a main resource."""

_UNTRACKED = ("apiVersion", "kind")
_UNOWNED_METADATA = frozenset(
    (
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    )
)
_NEVER_OWNED = field_set.of_paths(
    [field_path(name) for name in ("apiVersion", "kind", "metadata")]
    + [field_path("metadata", name) for name in sorted(_UNOWNED_METADATA)]
)


def record_update(
    obj: Object,
    old: Object | None,
    *,
    manager: str,
    api_version: str,
    schema: Schema,
    subresource: str = "",
    now: str,
    reset_fields: ResetFields = (),
    versions: Collection[str] | None = None,
    others: OtherVersions | None = None,
) -> None:
    """Sets metadata.managedFields on `obj` for a write that is not an apply. `old` is None on create.

    `api_version` and `schema` are those of the request; `now` is a metav1.Time. `versions` are the apiVersions that the type is
    served in: entries of other versions are dropped (None keeps all). A valid managedFields list in the request replaces the old
    one: `[]` and `[{}]` remove all managers. A missing or invalid list keeps the old managers. An object without any manager is
    not tracked until its first apply, except on create. Where an object does not match its schema, the list stays as it was.
    `others`: of a type whose versions a webhook converts. Raises NotConverted; then nothing has changed.
    """
    metadata: dict[str, Any] = obj.setdefault("metadata", {})
    written = metadata.pop("managedFields", None)
    managers = _known_managers(written, old, subresource)
    if managers is None or (not managers and old is not None):
        return
    node = compile_schema(schema)
    try:
        if not is_built_in(schema) and _ignored_mismatch(node, obj, old, reset_fields):
            raise TypedError("what the endpoint ignores does not match the schema")
        if others is not None and old is not None and (validate(node, _tracked(obj)) or validate(node, _tracked(old))):
            # What a webhook makes of an object may be anything.
            raise TypedError("an object does not match its schema")
        record(
            managers,
            obj,
            old,
            manager=manager,
            api_version=api_version,
            node=node,
            changing_schema=not is_built_in(schema),
            subresource=subresource,
            now=now,
            reset_fields=reset_fields,
            versions=versions,
            others=others,
        )
    except TypedError:
        if old is not None and (kept := old.get("metadata", {}).get("managedFields")):
            metadata["managedFields"] = kept
        return
    except NotConverted:
        if written is not None:
            metadata["managedFields"] = written
        raise
    if managers:
        metadata["managedFields"] = encode(managers)


def _ignored_mismatch(node: Node, obj: Object, old: Object | None, reset_fields: ResetFields) -> bool:
    """Whether a field that the endpoint ignores, and so does not validate, was sent with another value that does not match its
    schema."""
    names = [path[0] for path in reset_fields if len(path) == 1 and path[0] in obj]
    sent = {name: obj[name] for name in names if old is None or obj[name] != old.get(name)}
    return bool(sent) and bool(validate(node, sent, repeats=True))


def _known_managers(written: Any, old: Object | None, subresource: str) -> Managers | None:
    """The managers before the write. None where the object is not tracked."""
    kept = old.get("metadata", {}).get("managedFields") if old is not None else None
    if not subresource and written is not None and written != kept:
        if is_reset(written):
            return {}
        try:
            managers = decode(written)
        except ValueError:
            managers = {}
        if managers:
            return managers
    return decode(kept, trusted=True)


def record(
    managers: Managers,
    obj: Object,
    old: Object | None,
    *,
    manager: str,
    api_version: str,
    node: Node,
    changing_schema: bool,
    subresource: str,
    now: str,
    reset_fields: ResetFields,
    versions: Collection[str] | None,
    others: OtherVersions | None = None,
) -> None:
    """Gives the fields that differ between `old` and `obj` to an updating manager. Changes `managers`.

    Raises TypedError where a list item has no key.
    """
    drop_unserved(managers, versions)
    if changing_schema:
        reconcile(managers, old or {}, node, api_version, others)
    # Where no manager can lose a field, those that none can own are not even looked at.
    creates = old is None and not managers
    changes = compare(node, {}, _ownable(obj)) if creates else compare_objects(node, old or {}, obj)
    ignored = excluded(reset_fields)
    if reset_fields:
        changes = changes.without(ignored)
    taken = field_set.union(changes.modified, changes.added)
    me = updater(manager, api_version, subresource)
    strips = "f:metadata" in taken
    if managers:
        if not strips and len(managers) == 1 and me in managers:
            # The only manager would get back what else is taken from it.
            _lose(managers, {api_version: changes.removed})
        else:
            take(managers, changes_in(managers, old or {}, obj, changes, api_version, ignored, others))
    if strips:
        taken = strip(taken)
    if not taken:
        return
    before = managers.get(me)
    if subresource == "scale":
        # Upstream looks for the time of a Scale's manager among those of the object.
        now = before.time if before is not None else ""
    if before is None:
        fields = field_set.ordered(taken)
    elif field_set.difference(taken, before.fields):
        fields = field_set.ordered(field_set.union(taken, before.fields))
    else:
        fields = before.fields
    managers[me] = OwnedFields(fields, api_version, now)
    cap_updates(managers)


def compare_objects(node: Node, left: Mapping[str, Any], right: Mapping[str, Any]) -> Comparison:
    """The difference of two objects, without the fields that are never tracked."""
    return compare(node, _tracked(left), _tracked(right))


def _tracked(obj: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(obj)
    for name in _UNTRACKED:
        out.pop(name, None)
    metadata = out.get("metadata")
    if metadata and "managedFields" in metadata:
        out["metadata"] = metadata = dict(metadata)
        del metadata["managedFields"]
    return out


def _ownable(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an object that managers can own."""
    out = _tracked(obj)
    owned = {name: value for name, value in (out.pop("metadata", None) or {}).items() if name not in _UNOWNED_METADATA}
    if owned:
        out["metadata"] = owned
    return out


def reconcile(managers: Managers, live: Object, node: Node, api_version: str, others: OtherVersions | None) -> None:
    """Brings what managers own in line with the schema, which may have changed: each in its version. Changes `managers`. Raises
    TypedError, NotConverted."""
    for owned in managers.values():
        there = node
        if others is not None and owned.api_version != api_version:
            # As upstream, which fails where the object cannot be converted.
            others.converted(live, api_version, owned.api_version)
            there = others.node(owned.api_version)
        owned.fields = reconcile_with_schema(owned.fields, there)


def changes_in(
    managers: Managers,
    left: Object,
    right: Object,
    changes: Comparison,
    api_version: str,
    ignored: FieldSet,
    others: OtherVersions | None,
) -> Mapping[str, Comparison]:
    """The difference of two objects by the version of managers. `changes`: that in `api_version`. Raises TypedError,
    NotConverted."""
    found = {api_version: changes}
    for owned in managers.values():
        version = owned.api_version
        if version in found:
            continue
        if others is None:
            found[version] = changes
            continue
        pair = (others.converted(each, api_version, version) for each in (left, right))
        found[version] = compare_objects(others.node(version), *pair).without(ignored)
    return found


def take(managers: Managers, changes: Mapping[str, Comparison]) -> None:
    """Takes what has changed between two objects (`changes_in`) away from every manager. A manager without fields is dropped.
    Changes `managers`."""
    gone = {
        version: field_set.union(field_set.union(change.modified, change.added), change.removed)
        for version, change in changes.items()
    }
    _lose(managers, gone)


def _lose(managers: Managers, gone: Mapping[str, FieldSet]) -> None:
    """Takes fields away from every manager, by the version that it writes in."""
    for manager, owned in list(managers.items()):
        taken = gone[owned.api_version]
        kept = field_set.difference(owned.fields, taken) if taken else owned.fields
        if kept:
            owned.fields = kept
        else:
            del managers[manager]


def drop_unserved(managers: Managers, versions: Collection[str] | None) -> None:
    """Drops the managers of versions that are not served any more. Changes `managers`."""
    if versions is None:
        return
    for manager in [m for m, owned in managers.items() if owned.api_version not in versions]:
        del managers[manager]


def strip(fields: FieldSet) -> FieldSet:
    """The fields without those that no manager owns (apiVersion, kind and parts of metadata)."""
    return field_set.difference(fields, _NEVER_OWNED)


@cached("excluded_fields", bytes_max=256 << 10)
def excluded(reset_fields: ResetFields) -> FieldSet:
    """The set of fields that an endpoint ignores."""
    return field_set.of_paths(field_path(*names) for names in reset_fields)


def same_but_for_times(obj: Object, old: Object) -> bool:
    """Whether a write changed only the times in managedFields. Then it counts as no change, and the old object stays."""
    metadata, old_metadata = obj.get("metadata", {}), old.get("metadata", {})
    if not (_same_but(obj, old, "metadata") and _same_but(metadata, old_metadata, "managedFields")):
        return False
    entries, old_entries = metadata.get("managedFields") or [], old_metadata.get("managedFields") or []
    if len(entries) != len(old_entries):
        return False
    return entries == old_entries or sorted(map(_untimed, entries), key=str) == sorted(map(_untimed, old_entries), key=str)


def _same_but(value: Mapping[str, Any], other: Mapping[str, Any], name: str) -> bool:
    """Whether two objects differ in nothing but one field."""
    for key in value:
        if key != name and (key not in other or not same_json(value[key], other[key])):
            return False
    return all(key == name or key in value for key in other)


def _untimed(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: below for key, below in entry.items() if key != "time"}
