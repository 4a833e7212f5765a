"""Admission tenancy.kcp.io/Workspace and tenancy.kcp.io/WorkspaceTypeExists: who may create which Workspace where."""

from __future__ import annotations

import orjson

from tenantry.apiserver.admission.plugin import Plugin
from tenantry.apiserver.admission.review import CREATE, UPDATE, Review
from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.storage_errors import range_of
from tenantry.apiserver.user import User
from tenantry.kube.objects import Object, annotations_of, labels_of
from tenantry.kube.status import StatusError, forbidden
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.authorization.stored_user import KnownInOneCluster, globally_named
from tenantry.tenancy.resources import LOGICAL_CLUSTERS
from tenantry.tenancy.types.logical_cluster import NAME
from tenantry.tenancy.types.phase_fields import READY
from tenantry.tenancy.types.workspace import CLUSTER_ANNOTATION
from tenantry.tenancy.well_known import OWNER_ANNOTATION, REQUIRED_GROUPS_ANNOTATION
from tenantry.tenancy.workspaces.workspace_types import (
    TYPE_ANNOTATION,
    Member,
    ResolvedType,
    TypeName,
    TypeUnresolved,
    WorkspaceTypes,
    limit_errors,
)


class WorkspaceAdmission(Plugin):
    """Sets owner, type and labels of new Workspaces, and checks the permission to use the type, and its limits."""

    def __init__(self, *, cell: Cell, authorizer: ClusterAuthorizer, workspace_types: WorkspaceTypes) -> None:
        self._cell = cell
        self._authorizer = authorizer
        self._workspace_types = workspace_types

    def mutate(self, review: Review) -> None:
        if review.operation != CREATE or review.object is None or review.subresource:
            return
        workspace = review.object
        self._set_owner(review, workspace)
        spec = workspace.setdefault("spec", {})
        if spec.get("mount"):
            return
        reference = spec.get("type")
        name = self._requested_type(review, reference) if reference else self._default_type(review)
        spec["type"] = {"name": name.name, "path": name.path}
        labels = self._resolve(review, name).labels
        if labels:
            workspace["metadata"]["labels"] = {**labels, **labels_of(workspace)}

    def validate(self, review: Review) -> None:
        if review.object is None or review.operation not in (CREATE, UPDATE):
            return
        if review.operation == CREATE:
            self._validate_new(review, review.object)
        elif review.old_object is not None:
            self._validate_change(review, review.object, review.old_object)

    def _set_owner(self, review: Review, workspace: Object) -> None:
        """Sets the annotations of the owner, who is the creator, and of required groups, which are those of the parent.

        In kcp, Workspaces of system:masters have no owner and never become Ready; here they have one as others do.
        """
        annotations = dict(annotations_of(workspace))
        if not review.user.is_master:
            # Otherwise a new Workspace could take over the cluster of another one.
            annotations.pop(CLUSTER_ANNOTATION, None)
        if not review.user.is_master or OWNER_ANNOTATION not in annotations:
            annotations[OWNER_ANNOTATION] = self._owner(review)
        parent = self._logical_cluster(review.cluster)
        required = annotations_of(parent).get(REQUIRED_GROUPS_ANNOTATION) if parent is not None else None
        if not review.user.is_master or REQUIRED_GROUPS_ANNOTATION not in annotations:
            if required:
                annotations[REQUIRED_GROUPS_ANNOTATION] = required
            else:
                annotations.pop(REQUIRED_GROUPS_ANNOTATION, None)
        workspace["metadata"]["annotations"] = annotations

    def _owner(self, review: Review) -> str:
        """The value of the owner annotation: the creator, by a name that is valid in the new workspace. Raises StatusError
        403."""
        try:
            return owner_text(globally_named(review.user, review.cluster))
        except KnownInOneCluster as error:
            raise self._refuse(review, f"workspaces belong to users whom they know, too: {error}") from error

    def _requested_type(self, review: Review, reference: Object) -> TypeName:
        name, path = reference["name"], reference.get("path") or ""
        if path:
            return TypeName(path, name)
        found = self._workspace_types.search(review.cluster, name)
        if found is None:
            raise self._refuse(review, f'workspace type "{name}" cannot be resolved: not found in this workspace or any above it')
        return found

    def _default_type(self, review: Review) -> TypeName:
        parent = self._parent_type(review)
        child = parent.default_child
        if child is None:
            raise self._refuse(
                review, f"spec.defaultChildWorkspaceType of workspace type {parent.own.name} is not set: spec.type must be given"
            )
        return child if child.path else TypeName(parent.own.name.path, child.name)

    def _parent_type(self, review: Review) -> ResolvedType:
        parent = self._logical_cluster(review.cluster)
        if parent is None:
            raise self._refuse(review, "the type of the parent cannot be determined: it has no LogicalCluster")
        name = self._workspace_types.of(review.cluster, parent)
        if name is None:
            raise self._refuse(review, f"annotation {TYPE_ANNOTATION} on the parent's LogicalCluster must be set")
        return self._resolve(review, name)

    def _resolve(self, review: Review, name: TypeName) -> ResolvedType:
        try:
            return self._workspace_types.resolve(*name)
        except TypeUnresolved as error:
            raise self._refuse(review, str(error)) from error

    def _validate_new(self, review: Review, workspace: Object) -> None:
        spec = workspace.get("spec") or {}
        if not review.user.is_master:
            self._only_system_sets(review, spec, {})
            if annotations_of(workspace).get(OWNER_ANNOTATION) != self._owner(review):
                raise self._refuse(review, f"annotation {OWNER_ANNOTATION} must match the user who creates the workspace")
            if spec.get("mount") and spec.get("type"):
                raise self._refuse(review, "spec.type and spec.mount cannot both be set")
        if spec.get("mount"):
            return
        reference = spec.get("type") or {}
        resolved = self._resolve(review, TypeName(reference.get("path") or review.cluster, reference.get("name", "")))
        for member in resolved.members:
            if not self._may_use(review.user, member):
                raise self._refuse(
                    review,
                    f"unable to use workspacetype {member.name}: missing verb='use' permission on workspacetype",
                )
        errors = limit_errors(self._parent_type(review), resolved)
        if errors:
            raise self._refuse(review, "; ".join(errors))

    def _validate_change(self, review: Review, workspace: Object, old: Object) -> None:
        spec, before = workspace.get("spec") or {}, old.get("spec") or {}
        if spec.get("type") != before.get("type"):
            raise self._refuse(review, "spec.type is immutable")
        if spec.get("mount") != before.get("mount"):
            # A mount that is added or removed would orphan or create a logical cluster.
            raise self._refuse(review, "spec.mount is immutable")
        if not review.user.is_master:
            self._only_system_sets(review, spec, before)
            for annotation in (OWNER_ANNOTATION, REQUIRED_GROUPS_ANNOTATION, CLUSTER_ANNOTATION):
                if annotations_of(workspace).get(annotation) != annotations_of(old).get(annotation):
                    raise self._refuse(review, f"annotation {annotation} is immutable")
        phase = (workspace.get("status") or {}).get("phase")
        if phase == READY and phase != (old.get("status") or {}).get("phase") and not spec.get("mount"):
            for field in ("cluster", "URL"):
                if not spec.get(field):
                    raise self._refuse(review, f"spec.{field} must be set for phase {READY}")

    def _only_system_sets(self, review: Review, spec: Object, before: Object) -> None:
        for field in ("cluster", "URL"):
            if spec.get(field) != before.get(field):
                raise self._refuse(review, f"spec.{field} can only be set by system privileged users")

    def _may_use(self, user: User, member: Member) -> bool:
        return self._authorizer.allows_deep(
            Attributes(
                user=user,
                verb="use",
                cluster=member.cluster,
                group="tenancy.kcp.io",
                version="v1alpha1",
                resource="workspacetypes",
                name=member.name.name,
            )
        )

    def _logical_cluster(self, cluster: str) -> Object | None:
        record = range_of(self._cell, cluster).get(Key(cluster, LOGICAL_CLUSTERS, "", NAME))
        return orjson.loads(record.value) if record is not None else None

    @staticmethod
    def _refuse(review: Review, why: str) -> StatusError:
        return forbidden(review.definition.group_resource, review.name, why)


def owner_text(user: User) -> str:
    """The owner annotation of a user: UserInfo as JSON, with the fields in Go's order (username, uid, groups, extra)."""
    return orjson.dumps(user.to_user_info()).decode()
