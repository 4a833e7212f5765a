"""The view of the Workspaces of a parent that the caller may access."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import orjson

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.user import AUTHENTICATED_GROUP, User
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object, annotations_of
from tenantry.storage.record import Record
from tenantry.tenancy.well_known import OWNER_ANNOTATION
from tenantry.virtual.view import Place, View


class PersonalWorkspaces(View):
    """Every authenticated user sees the Workspaces that it may access, without the permission to list Workspaces in the parent.
    Open watches send ADDED and DELETED when RBAC changes."""

    name = "workspaces"
    arguments = ("path",)
    per_cluster = False

    def cluster_of(self, arguments: tuple[str, ...]) -> str | None:
        return self.context.directory.cluster_of(arguments[0])

    def allows(self, place: Place, question: Attributes) -> bool:
        return AUTHENTICATED_GROUP in question.user.groups

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return (self.definition("tenancy.kcp.io", "workspaces"),)

    def sees(self, place: Place, user: User, record: Record) -> bool:
        if user.is_master:
            return True
        workspace = orjson.loads(record.value)
        child: str = (workspace.get("spec") or {}).get("cluster") or ""
        return bool(child) and self.may_access(user, child, owner=owner_of(workspace))

    def watch_sees(self, place: Place, user: User, changed: Callable[[], None]) -> Callable[[], None]:
        return self.context.access_changes.subscribe(place.cluster or "", changed)


def owner_of(workspace: Object) -> str:
    """The name of the user who created a Workspace; empty if its annotation does not say."""
    try:
        owner = orjson.loads(annotations_of(workspace).get(OWNER_ANNOTATION) or "{}")
    except orjson.JSONDecodeError:
        return ""
    return str(owner.get("username") or "") if isinstance(owner, dict) else ""
