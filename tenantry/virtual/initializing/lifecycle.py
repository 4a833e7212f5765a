"""What the views for initializers and for terminators have in common.

Both show LogicalClusters to the controller of a WorkspaceType (list and watch over a range, get and status of one), and let it
into those workspaces that wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from tenantry.apiserver.admission import Admission, Chain, Review
from tenantry.apiserver.authorization import ALLOWED, NO_OPINION, Attributes, Decision
from tenantry.apiserver.scope import Scope, Visibility
from tenantry.apiserver.user import SYSTEM, User
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError, invalid
from tenantry.storage.record import Record
from tenantry.tenancy.exports.hashing import lifecycle_hash
from tenantry.virtual.initializing.content import ContentScope
from tenantry.virtual.restrict import MUTE_STATUS, restricted
from tenantry.virtual.view import READ_VERBS, Place, View
from tenantry.virtual.view_scope import Filter, ViewScope

if TYPE_CHECKING:
    from tenantry.tenancy.host import Host

GROUP, VERSION, PLURAL = "core.kcp.io", "v1alpha1", "logicalclusters"
TENANCY_GROUP = "tenancy.kcp.io"
LABEL_KEY_LENGTH = 63
OBJECT_PATH = f"/apis/{GROUP}/{VERSION}/{PLURAL}"


def lifecycle_label(prefix: str, identifier: str) -> tuple[str, str]:
    """(key, value) of the label that a LogicalCluster bears while it waits for an initializer or terminator."""
    value = lifecycle_hash(identifier)
    return prefix + value[: LABEL_KEY_LENGTH - len(prefix)], value


def may_act(host: Host, user: User, verb: str, identifier: str) -> bool:
    """Whether a user may work for an id `<cluster id of the type>:<type>`: RBAC verb `initialize` or `terminate` on the type."""
    cluster, colon, name = identifier.rpartition(":")
    if not colon or not cluster:
        return False
    question = Attributes(user, verb, cluster, group=TENANCY_GROUP, version="v1alpha1", resource="workspacetypes", name=name)
    return host.authorizer.allows_deep(question)


class LifecycleView(View):
    """`verb` is what RBAC calls the work, `field` the list in the LogicalCluster's spec and status, `word` what one entry is.

    `adds`: whether a LogicalCluster that begins to wait arrives in watches as ADDED, or as the MODIFIED that it is elsewhere.
    """

    arguments = ("id",)
    verb = ""
    field = ""
    word = ""
    label_prefix = ""
    permissions_field = ""
    adds = True

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        definition = self.host.definitions.logical_clusters
        if place.cluster is None:
            return (restricted(definition, READ_VERBS, MUTE_STATUS),)
        return (restricted(definition, ("get",)),)

    def may_enter(self, place: Place, question: Attributes) -> bool:
        return may_act(self.host, question.user, self.verb, place.arguments[0])

    def waits(self, identifier: str) -> Callable[[Record], bool]:
        """Which LogicalClusters wait for an id, by their labels."""
        raise NotImplementedError

    def in_phase(self, logical_cluster: Object) -> bool:
        """Whether workspaces in this state may be entered."""
        raise NotImplementedError


def is_logical_cluster_path(path: str) -> bool:
    return path == OBJECT_PATH or path.startswith(OBJECT_PATH + "/")


class LogicalClusterScope(ViewScope):
    """The LogicalClusters that wait for an id: those of a range, or one. Read and written with the system's own identity."""

    def __init__(self, view: LifecycleView, place: Place) -> None:
        super().__init__(view, place)
        self._view = view

    def decide(self, attributes: Attributes) -> Decision:
        if attributes.user.is_master or self._view.may_enter(self.place, attributes):
            return ALLOWED
        return NO_OPINION

    def apis(self) -> ApiSet:
        return self.view.api_set(self.view.apis(self.place))

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        return Filter(self._view.waits(self.place.arguments[0]), adds=self._view.adds)

    def acting_user(self, user: User, attributes: Attributes) -> User:
        return SYSTEM

    @property
    def admission(self) -> Admission:
        return Chain((OnlyOwnRemoval(self._view.field, self._view.word, self.place.arguments[0]), self.view.host.admission))


class OnlyOwnRemoval:
    """A status update may take the own id out of the list, and change nothing else about it."""

    def __init__(self, field: str, word: str, identifier: str) -> None:
        self._field = field
        self._word = word
        self._identifier = identifier

    def mutate(self, review: Review) -> None:
        return None

    def validate(self, review: Review) -> None:
        if review.object is None or review.old_object is None:
            return
        before = self._listed(review.old_object)
        after = self._listed(review.object)
        if after == before or (self._identifier in before and after == [each for each in before if each != self._identifier]):
            return
        shown = "[" + ",".join(f'"{each}"' for each in after) + "]"
        text = f'Invalid value: {shown}: only removing the "{self._identifier}" {self._word} is supported'
        error = FieldError("Invalid", f"status.{self._field}", text)
        raise invalid(GROUP, "LogicalCluster", review.name, [error])

    def _listed(self, obj: Object) -> list[Any]:
        return (obj.get("status") or {}).get(self._field) or []


def scope_of(view: LifecycleView, place: Place, path: str, *, discovery_is_content: bool) -> Scope:
    """LogicalClusters for `*` and for their own path; for all else in one cluster the workspace itself."""
    if place.cluster is None or is_logical_cluster_path(path) or not (discovery_is_content or _is_resource_path(path)):
        return LogicalClusterScope(view, place)
    return ContentScope(view, place)


def _is_resource_path(path: str) -> bool:
    segments = path.strip("/").split("/")
    return (segments[0] == "api" and len(segments) > 2) or (segments[0] == "apis" and len(segments) > 3)
