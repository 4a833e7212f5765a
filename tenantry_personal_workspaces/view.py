"""The view of the Workspaces of a parent that the caller may access."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tenantry.virtual.interface import (
    AUTHENTICATED_GROUP,
    Attributes,
    Changed,
    MayAccess,
    Place,
    Record,
    ResourceDefinition,
    User,
    View,
    ViewContext,
)
from tenantry_personal_workspaces.child_clusters import ChildClusters
from tenantry_personal_workspaces.fixture import FIXTURE


class PersonalWorkspaces(View):
    """Every authenticated user sees the Workspaces that it may access, without the permission to list Workspaces in the parent.
    Open watches send ADDED and DELETED when RBAC changes."""

    name = "workspaces"
    interface = "1.0"
    fixture = FIXTURE
    arguments = ("path",)
    per_cluster = False

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self._children = ChildClusters()

    def cluster_of(self, arguments: tuple[str, ...]) -> str | None:
        return self.context.directory.cluster_of(arguments[0])

    def allows(self, place: Place, question: Attributes) -> bool:
        return AUTHENTICATED_GROUP in question.user.groups

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        return (self.definition("tenancy.kcp.io", "workspaces"),)

    def seeing(self, place: Place, user: User) -> Callable[[Record], bool]:
        if user.is_master:
            return lambda record: True
        return self._accessible(self.accessible(user))

    def seeing_at(self, place: Place, user: User, version: int) -> Callable[[Record], bool] | None:
        may_access = self.accessible_at(user, place.cluster or "", version)
        return self._accessible(may_access) if may_access is not None else None

    def watch_sees(self, place: Place, user: User, changed: Changed) -> Callable[[], None]:
        return self.context.access_changes.subscribe(place.cluster or "", changed)

    def _accessible(self, may_access: MayAccess) -> Callable[[Record], bool]:
        child_of = self._children.of

        def sees(record: Record) -> bool:
            cluster, owner = child_of(record)
            return cluster != "" and may_access(cluster, owner)

        return sees
