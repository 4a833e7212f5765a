"""The initializers that the system itself is: `system:apibindings` and `root:universal`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson

from tenantry.kube.objects import Object, annotations_of
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Change
from tenantry.tenancy.changes import created
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.exports.binding_status import CLAIMS_APPLIED, INITIAL_BINDING_COMPLETED
from tenantry.tenancy.well_known import PATH_ANNOTATION
from tenantry.tenancy.workspaces.identifiers import default_binding_name
from tenantry.tenancy.workspaces.logical_clusters import UNIVERSAL_INITIALIZER, default_bindings, note_bindings
from tenantry.tenancy.workspaces.types import API_BINDINGS_INITIALIZER, DefaultBinding, ResolvedType

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host


def initialize(
    host: Host, range_: Range, logical_cluster: Object, resolve: Callable[[Object], ResolvedType | None], now: str
) -> tuple[list[Change], bool]:
    """Does what can be done now, in place: takes finished initializers off the status.

    Returns the missing APIBindings that can be made, and whether something in the cluster, or an export, is being waited for.
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
            changes, waiting = _bind(host, range_, logical_cluster, resolved, now)
        note_bindings(status, waiting, now)
        if not waiting and not changes:
            left = [i for i in left if i != API_BINDINGS_INITIALIZER]
    if left != initializers:
        status["initializers"] = left
    return changes, bool(waiting or changes)


def _bind(host: Host, range_: Range, logical_cluster: Object, resolved: ResolvedType, now: str) -> tuple[list[Change], list[str]]:
    cluster = logical_cluster["metadata"]["annotations"]["kcp.io/cluster"]
    definition = host.definitions.api_bindings
    missing: list[DefaultBinding] = []
    waiting: list[str] = []
    for default in resolved.bindings:
        name = default_binding_name(cluster, default.path, default.export)
        record = range_.get(Key(cluster, definition.storage_key, "", name))
        if record is None:
            missing.append(default)
        elif not _complete(orjson.loads(record.value)):
            waiting.append(f"APIBinding {name} is not bound yet")
    made, not_ready = default_bindings(host, cluster, annotations_of(logical_cluster).get(PATH_ANNOTATION, ""), tuple(missing))
    return [created(host, definition, cluster, binding, now=now) for binding in made], [*waiting, *not_ready]


def _complete(binding: Object) -> bool:
    status = binding.get("status") or {}
    if not conditions.is_true(status, INITIAL_BINDING_COMPLETED):
        return False
    accepts = any(c.get("state") == "Accepted" for c in (binding.get("spec") or {}).get("permissionClaims") or ())
    return not accepts or conditions.is_true(status, CLAIMS_APPLIED)
