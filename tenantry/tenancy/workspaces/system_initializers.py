"""The work of the system's own initializers: `system:apibindings` and `root:universal`."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from tenantry.kube.objects import Object, annotations_of
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.exports.binding_status import CLAIMS_APPLIED, INITIAL_BINDING_COMPLETED
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.well_known import PATH_ANNOTATION
from tenantry.tenancy.workspaces.identifiers import default_binding_name
from tenantry.tenancy.workspaces.new_logical_cluster import ClusterContents, note_bindings
from tenantry.tenancy.workspaces.workspace_types import (
    API_BINDINGS_INITIALIZER,
    UNIVERSAL_INITIALIZER,
    DefaultBinding,
    ResolvedType,
)


class SystemInitializers:
    """Creates missing default APIBindings, and removes the two initializers from the status when they are done."""

    def __init__(self, definitions: SystemDefinitions, changes: Changes, contents: ClusterContents) -> None:
        self._definitions = definitions
        self._changes = changes
        self._contents = contents

    def initialize(
        self, range_: Range, logical_cluster: Object, resolve: Callable[[Object], ResolvedType | None], now: str
    ) -> tuple[list[Change], bool]:
        """Removes finished initializers from the status of `logical_cluster`, in place.

        Returns (changes, waits): the creation of missing APIBindings, and whether an APIBinding or an export is not ready yet.
        """
        status = logical_cluster["status"]
        initializers = status.get("initializers") or []
        left = [i for i in initializers if i != UNIVERSAL_INITIALIZER]
        changes: list[Change] = []
        waiting: list[str] = []
        if API_BINDINGS_INITIALIZER in left:
            resolved = resolve(logical_cluster)
            if resolved is None:
                waiting = ["the workspace type cannot be resolved"]
            else:
                changes, waiting = self._bind(range_, logical_cluster, resolved, now)
            note_bindings(status, waiting, now)
            if not waiting and not changes:
                left = [i for i in left if i != API_BINDINGS_INITIALIZER]
        if left != initializers:
            status["initializers"] = left
        return changes, bool(waiting or changes)

    def _bind(self, range_: Range, logical_cluster: Object, resolved: ResolvedType, now: str) -> tuple[list[Change], list[str]]:
        cluster = logical_cluster["metadata"]["annotations"]["kcp.io/cluster"]
        definition = self._definitions.api_bindings
        missing: list[DefaultBinding] = []
        waiting: list[str] = []
        for default in resolved.bindings:
            name = default_binding_name(cluster, default.path, default.export)
            record = range_.get(Key(cluster, definition.storage_key, "", name))
            if record is None:
                missing.append(default)
            elif not _complete(orjson.loads(record.value)):
                waiting.append(f"APIBinding {name} is not bound yet")
        path = annotations_of(logical_cluster).get(PATH_ANNOTATION, "")
        made, not_ready = self._contents.default_bindings(cluster, path, tuple(missing))
        changes = [self._changes.created(definition, cluster, binding, now=now) for binding in made]
        return changes, [*waiting, *not_ready]


def _complete(binding: Object) -> bool:
    status = binding.get("status") or {}
    if not conditions.is_true(status, INITIAL_BINDING_COMPLETED):
        return False
    accepts = any(c.get("state") == "Accepted" for c in (binding.get("spec") or {}).get("permissionClaims") or ())
    return not accepts or conditions.is_true(status, CLAIMS_APPLIED)
