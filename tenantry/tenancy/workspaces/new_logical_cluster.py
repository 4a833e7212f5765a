"""Makes new LogicalClusters and the objects that they are created with."""

from __future__ import annotations

from tenantry.kube.objects import Object, annotations_of
from tenantry.kube.status import StatusError
from tenantry.storage.record import Change
from tenantry.tenancy.bootstrap_objects import owner_binding
from tenantry.tenancy.exports import conditions
from tenantry.tenancy.exports.binding_controller import bound_binding
from tenantry.tenancy.exports.binding_status import BOUND
from tenantry.tenancy.exports.export_lookup import ExportLookup
from tenantry.tenancy.exports.resource_locks import LOCKS_ANNOTATION, locks_annotation
from tenantry.tenancy.object_changes import Changes
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.phase_fields import INITIALIZING
from tenantry.tenancy.well_known import OWNER_ANNOTATION, PATH_ANNOTATION, REQUIRED_GROUPS_ANNOTATION, SHARD_ANNOTATION
from tenantry.tenancy.workspaces.identifiers import default_binding_name
from tenantry.tenancy.workspaces.initial_contents import base_contents
from tenantry.tenancy.workspaces.owner_annotation import owner_user
from tenantry.tenancy.workspaces.state import BINDINGS_INITIALIZED, DELETION_FINALIZER, TERMINATORS_FINALIZER, set_labels
from tenantry.tenancy.workspaces.workspace_types import (
    OWN_INITIALIZERS,
    TYPE_ANNOTATION,
    UNIVERSAL_INITIALIZER,
    DefaultBinding,
    ResolvedType,
)

_COPIED_ANNOTATIONS = (OWNER_ANNOTATION, REQUIRED_GROUPS_ANNOTATION)


def new_logical_cluster(
    workspace: Object, parent: str, resolved: ResolvedType, *, path: str, range_name: str, url: str
) -> Object:
    """The new LogicalCluster of a Workspace. `parent`: cluster id of the Workspace. `path`: its canonical path. `url`: the URL
    by its id."""
    metadata = workspace["metadata"]
    given = annotations_of(workspace)
    owner = {
        "apiVersion": "tenancy.kcp.io/v1alpha1",
        "resource": "workspaces",
        "name": metadata["name"],
        "cluster": parent,
        "uid": metadata.get("uid", ""),
    }
    annotations = {key: given[key] for key in _COPIED_ANNOTATIONS if key in given}
    return unowned_logical_cluster(annotations, resolved, {"owner": owner}, path=path, range_name=range_name, url=url)


def unowned_logical_cluster(
    annotations: dict[str, str], resolved: ResolvedType, spec: Object, *, path: str, range_name: str, url: str
) -> Object:
    """A new LogicalCluster. `annotations` and `spec` are the initial ones; both are changed in place."""
    annotations[PATH_ANNOTATION] = path
    annotations[TYPE_ANNOTATION] = str(resolved.own.name)
    annotations[SHARD_ANNOTATION] = range_name
    creator = owner_user(annotations)
    if creator:
        spec["createdBy"] = creator
    if resolved.initializers:
        spec["initializers"] = list(resolved.initializers)
    if resolved.terminators:
        spec["terminators"] = list(resolved.terminators)
    finalizers = [DELETION_FINALIZER, TERMINATORS_FINALIZER] if resolved.terminators else [DELETION_FINALIZER]
    return {
        "metadata": {"name": NAME, "annotations": annotations, "finalizers": finalizers},
        "spec": spec,
        "status": {"URL": url},
    }


class ClusterContents:
    """Makes the objects that a logical cluster is created with. `ca_certificate`: PEM."""

    def __init__(self, definitions: SystemDefinitions, changes: Changes, exports: ExportLookup, *, ca_certificate: str) -> None:
        self._definitions = definitions
        self._changes = changes
        self._exports = exports
        self._ca_certificate = ca_certificate

    def fill(self, cluster: str, logical_cluster: Object, bindings: tuple[DefaultBinding, ...], now: str) -> list[Change]:
        """The objects of a new cluster. Sets phase Initializing in `logical_cluster`, in place.

        If the export of a binding is not ready, the initializer `system:apibindings` stays, and `SystemInitializers` continues.
        """
        definitions, created = self._definitions, self._changes.created
        changes = list(base_contents(definitions, self._ca_certificate, cluster, now))
        annotations = annotations_of(logical_cluster)
        user = owner_user(annotations).get("username")
        if user:
            changes.append(created(definitions.cluster_role_bindings, cluster, owner_binding(user), now=now))
        bound, waiting = self.default_bindings(cluster, annotations.get(PATH_ANNOTATION, ""), bindings)
        changes.extend(created(definitions.api_bindings, cluster, binding, now=now) for binding in bound)
        spec = logical_cluster.get("spec") or {}
        status = logical_cluster.setdefault("status", {})
        done = {UNIVERSAL_INITIALIZER} if waiting else OWN_INITIALIZERS
        status["phase"] = INITIALIZING
        status["initializers"] = initializers = [i for i in spec.get("initializers") or () if i not in done]
        status["terminators"] = terminators = list(spec.get("terminators") or ())
        for field in ("initializers", "terminators"):
            if not status[field]:
                del status[field]
        note_bindings(status, waiting, now)
        if initializers:
            text = f"Initializers still exist: [{' '.join(initializers)}]"
            conditions.mark_false(status, "WorkspaceInitialized", "InitializerExists", text, now, severity=conditions.INFO)
        metadata = logical_cluster["metadata"]
        metadata["labels"] = set_labels(metadata.get("labels") or {}, INITIALIZING, initializers, terminators)
        metadata["annotations"] = {**annotations, LOCKS_ANNOTATION: locks_annotation(bound)}
        return changes

    def default_bindings(self, cluster: str, path: str, wanted: tuple[DefaultBinding, ...]) -> tuple[list[Object], list[str]]:
        """(APIBindings, texts): the default APIBindings of a type, Bound if their exports are ready, and texts about those that
        are not."""
        bound: list[Object] = []
        waiting: list[str] = []
        for default in wanted:
            try:
                binding = bound_binding(
                    self._exports,
                    default.cluster,
                    default.export,
                    binding_name=default_binding_name(cluster, default.path, default.export),
                    cluster=cluster,
                    accept_claims=True,
                    path=path,
                    export_path=default.path,
                )
            except StatusError as error:
                waiting.append(error.message)
                continue
            binding = {k: v for k, v in binding.items() if k not in ("apiVersion", "kind")}
            bound.append(binding)
            if binding["status"].get("phase") != BOUND:
                waiting.append(f"APIBinding {binding['metadata']['name']} is not bound yet")
        return bound, waiting


def note_bindings(status: Object, waiting: list[str], now: str) -> None:
    """Sets the condition APIBindingsInitialized, in place. `waiting`: texts about bindings that are not ready. `now`:
    metav1.Time."""
    if waiting:
        text = f"APIBinding(s) not yet fully bound: {'; '.join(waiting)}"
        conditions.mark_false(status, BINDINGS_INITIALIZED, "WaitingOnAPIBindings", text, now, severity=conditions.INFO)
    else:
        conditions.mark_true(status, BINDINGS_INITIALIZED, now)
