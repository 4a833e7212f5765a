"""Computes the status of an APIBinding from the binding, its export and the other types of the cluster. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from tenantry.kube.objects import GroupResource, Object, name_of
from tenantry.tenancy.exports.conditions import INFO, WARNING, is_true, mark_false, mark_true, mirror
from tenantry.tenancy.exports.read_bindings import identity_of
from tenantry.tenancy.exports.resource_locks import lock_name

BINDING, BOUND = "Binding", "Bound"
READY = "Ready"
EXPORT_VALID = "APIExportValid"
INITIAL_BINDING_COMPLETED = "InitialBindingCompleted"
BINDING_UP_TO_DATE = "BindingUpToDate"
CLAIMS_VALID = "PermissionClaimsValid"
CLAIMS_APPLIED = "PermissionClaimsApplied"


class Names(NamedTuple):
    """The names of a type in its group. `owner`: the object that defines the type, for messages."""

    owner: str
    group: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    kind: str
    list_kind: str

    def conflict(self, other: Names) -> str:
        """Why the type `other` conflicts with this one; empty if it does not."""
        if self.group != other.group:
            return ""
        taken = {self.plural, self.singular, *self.short_names} - {""}
        for field, value in (("plural", other.plural), ("singular", other.singular)):
            if value in taken:
                return f"spec.names.{field}={value} is forbidden"
        for short in other.short_names:
            if short in taken:
                return f"spec.names.shortNames={short} is forbidden"
        kinds = {self.kind, self.list_kind} - {""}
        for field, value in (("kind", other.kind), ("listKind", other.list_kind)):
            if value in kinds:
                return f"spec.names.{field}={value} is forbidden"
        return ""


class _Taken:
    """An index of the names of a cluster's types, so that many new types can be checked against many."""

    def __init__(self, taken: Sequence[Names]) -> None:
        self._taken = taken
        self._first: dict[tuple[str, bool, str], int] = {}
        for place, names in enumerate(taken):
            for word in (names.plural, names.singular, *names.short_names):
                self._first.setdefault((names.group, False, word), place)
            for word in (names.kind, names.list_kind):
                self._first.setdefault((names.group, True, word), place)

    def first_conflict(self, wanted: Names) -> Names | None:
        """The first type that conflicts with `wanted`; None if none does."""
        words = [(False, word) for word in (wanted.plural, wanted.singular, *wanted.short_names)]
        words += [(True, word) for word in (wanted.kind, wanted.list_kind)]
        places = [self._first.get((wanted.group, is_kind, word)) for is_kind, word in words if word]
        found = [place for place in places if place is not None]
        return self._taken[min(found)] if found else None


def names_in(spec: Mapping[str, Any], owner: str) -> Names:
    """The names in the spec of an APIResourceSchema or a CustomResourceDefinition."""
    names = spec.get("names") or {}
    kind = names.get("kind") or ""
    return Names(
        owner,
        spec.get("group") or "",
        names.get("plural") or "",
        names.get("singular") or kind.lower(),
        tuple(names.get("shortNames") or ()),
        kind,
        names.get("listKind") or f"{kind}List",
    )


def bound_status(
    binding: Object,
    export_cluster: str,
    export: Object,
    schemas: Mapping[str, Object],
    *,
    taken: Sequence[Names] = (),
    locked: Mapping[str, str] | None = None,
    now: str,
) -> Object:
    """The status of a binding to `export`. The arguments are not changed.

    `schemas`: name → APIResourceSchema of the export's cluster, without missing ones. `taken`: the names of the other types of
    the consumer's cluster. `locked`: `<resource>.<group>` → its other owner, for messages. `now`: metav1.Time.
    """
    status = _start(binding)
    status["apiExportClusterName"] = export_cluster
    claims = (export.get("spec") or {}).get("permissionClaims")
    if claims:
        status["exportPermissionClaims"] = claims
    else:
        status.pop("exportPermissionClaims", None)
    identity = identity_of(export)
    if not identity:
        message = f"APIExport {export_cluster}|{name_of(export)} is missing status.identityHash"
        return _waiting(status, "MissingIdentityHash", message, now, severity=WARNING)
    resources = (export.get("spec") or {}).get("resources") or ()
    for resource in resources:
        if resource["schema"] not in schemas:
            message = f'APIResourceSchema {export_cluster}|{resource["schema"]} of APIExport "{name_of(export)}" was not found'
            return _waiting(status, "InternalError", message, now)
    mark_true(status, EXPORT_VALID, now)
    conflicts: list[str] = []
    bound = {(e.get("group") or "", e["resource"]): e for e in status.get("boundResources") or ()}
    names = _Taken(taken)
    for resource in resources:
        schema = schemas[resource["schema"]]
        conflict = _conflict(schema, names, locked or {})
        if conflict:
            conflicts.append(conflict)
            continue
        place = (schema["spec"].get("group") or "", schema["spec"]["names"]["plural"])
        bound[place] = _bound_resource(
            schema, identity, bound.get(place), virtual=bool((resource.get("storage") or {}).get("virtual"))
        )
    if bound:
        status["boundResources"] = list(bound.values())
    _conclude(status, conflicts, now)
    return status


def unresolved_status(binding: Object, reason: str, message: str, *, now: str) -> Object:
    """The status while the export does not exist: bound resources stay bound. `reason`: of the condition, for example
    APIExportNotFound."""
    return _waiting(_start(binding), reason, message, now)


def _start(binding: Object) -> Object:
    status = dict(binding.get("status") or {})
    if status.get("conditions"):
        status["conditions"] = list(status["conditions"])
    if not status.get("phase"):
        status["phase"] = BINDING
    return status


def _waiting(status: Object, reason: str, message: str, now: str, *, severity: str = "Error") -> Object:
    mark_false(status, EXPORT_VALID, reason, message, now, severity=severity)
    if not is_true(status, INITIAL_BINDING_COMPLETED):
        mark_false(
            status, INITIAL_BINDING_COMPLETED, "WaitingForEstablished", "Waiting for API(s) to be established", now, severity=INFO
        )
    mirror(status, READY, INITIAL_BINDING_COMPLETED)
    return status


def _conclude(status: Object, conflicts: Iterable[str], now: str) -> None:
    text = "; ".join(conflicts)
    if text:
        message = f"Unable to bind APIs: {text}"
        mark_false(status, BINDING_UP_TO_DATE, "NamingConflicts", message, now)
        if not is_true(status, INITIAL_BINDING_COMPLETED):
            mark_false(status, INITIAL_BINDING_COMPLETED, "NamingConflicts", message, now)
    else:
        mark_true(status, BINDING_UP_TO_DATE, now)
        mark_true(status, INITIAL_BINDING_COMPLETED, now)
        status["phase"] = BOUND
    mirror(status, READY, INITIAL_BINDING_COMPLETED)


def _conflict(schema: Object, taken: _Taken, locked: Mapping[str, str]) -> str:
    wanted = names_in(schema["spec"], "")
    holder = locked.get(lock_name(wanted.group, wanted.plural))
    if holder:
        return f"{GroupResource(wanted.group, wanted.plural)} is already bound by {holder}"
    other = taken.first_conflict(wanted)
    return f"naming conflict with {other.owner}, {other.conflict(wanted)}" if other is not None else ""


def _bound_resource(schema: Object, identity: str, before: Object | None, *, virtual: bool) -> Object:
    spec = schema["spec"]
    entry: Object = {
        "group": spec.get("group") or "",
        "resource": spec["names"]["plural"],
        "schema": {"name": name_of(schema), "UID": schema["metadata"].get("uid", ""), "identityHash": identity},
    }
    if not virtual:
        storage = {version["name"] for version in spec.get("versions") or () if version.get("storage")}
        entry["storageVersions"] = sorted(storage | set((before or {}).get("storageVersions") or ()))
    return entry
