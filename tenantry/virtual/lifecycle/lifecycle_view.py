"""What the views for initializers and for terminators have in common.

Both show LogicalClusters to the controller of a WorkspaceType (list and watch over a range, get and status of one), and let it
into those workspaces that wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tenantry.apiserver.authorization import ALLOWED, NO_OPINION, Attributes, Decision
from tenantry.apiserver.request import Request
from tenantry.apiserver.request_info import parse
from tenantry.apiserver.scope import Scope, Visibility
from tenantry.apiserver.user import User
from tenantry.base.cache import Cache
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.rbac.rules import CompiledRules
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.storage.record import Record
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.exports.hashing import lifecycle_hash
from tenantry.tenancy.resources import WORKSPACE_TYPES
from tenantry.tenancy.workspaces.lifecycle_entry import LifecycleEntry, LifecycleScope
from tenantry.virtual.lifecycle.content_scope import ContentScope
from tenantry.virtual.restrict import READ_ONLY_STATUS, restricted
from tenantry.virtual.view import READ_VERBS, Place, View, ViewContext
from tenantry.virtual.view_scope import Filter, ViewScope

GROUP, VERSION, PLURAL = "core.kcp.io", "v1alpha1", "logicalclusters"
TENANCY_GROUP = "tenancy.kcp.io"
LABEL_KEY_LENGTH = 63
OBJECT_PATH = f"/apis/{GROUP}/{VERSION}/{PLURAL}"


def lifecycle_label(prefix: str, identifier: str) -> tuple[str, str]:
    """(key, value) of the label that a LogicalCluster bears while it waits for an initializer or terminator."""
    value = lifecycle_hash(identifier)
    return prefix + value[: LABEL_KEY_LENGTH - len(prefix)], value


def may_act(authorizer: ClusterAuthorizer, user: User, verb: str, identifier: str) -> bool:
    """Whether a user may work for an id `<cluster id of the type>:<type>`: RBAC verb `initialize` or `terminate` on the type."""
    cluster, colon, name = identifier.rpartition(":")
    if not colon or not cluster:
        return False
    question = Attributes(user, verb, cluster, group=TENANCY_GROUP, version="v1alpha1", resource="workspacetypes", name=name)
    return authorizer.allows_deep(question)


class LifecycleView(View):
    """`verb` is what RBAC calls the work, `field` the list in the LogicalCluster's spec and status, `singular` what one entry is,
    `group_prefix` what makes a group of it.

    `adds`: whether a LogicalCluster that begins to wait arrives in watches as ADDED, or as the MODIFIED that it is elsewhere.
    """

    arguments = ("id",)
    verb = ""
    field = ""
    singular = ""
    group_prefix = ""
    label_prefix = ""
    permissions_field = ""
    adds = True

    def __init__(self, context: ViewContext, catalog: Catalog) -> None:
        super().__init__(context)
        self._catalog = catalog
        self._compiled: Cache[str, tuple[list[Object], CompiledRules]] = Cache("initializer_permissions", bytes_max=2 << 20)

    def compiled(self, identifier: str, rules: list[Object]) -> CompiledRules:
        """The rules that a type gives its controller, compiled once for as long as they are the same."""
        known = self._compiled.get(identifier)
        if known is None or known[0] != rules:
            known = rules, CompiledRules(rules)
            self._compiled.put(identifier, known)
        return known[1]

    def workspace_type(self, cluster: str, name: str) -> Object | None:
        """A WorkspaceType by the id of its cluster, wherever that is; None where there is none."""
        return self._catalog.get(WORKSPACE_TYPES, cluster, name)

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        definition = self.context.definitions.logical_clusters
        if place.cluster is None:
            return (restricted(definition, READ_VERBS, READ_ONLY_STATUS),)
        return (restricted(definition, ("get",)),)

    def allows(self, place: Place, question: Attributes) -> bool:
        return may_act(self.context.authorizer, question.user, self.verb, place.arguments[0])

    def waits(self, identifier: str) -> Callable[[Record], bool]:
        """Which LogicalClusters wait for an id, by their labels."""
        raise NotImplementedError

    def in_phase(self, logical_cluster: Object) -> bool:
        """Whether workspaces in this state may be entered."""
        raise NotImplementedError


class LogicalClusterScope(ViewScope, LifecycleScope):
    """The LogicalClusters that wait for an id: those of a range, or one. Read by whoever may work for the id, and written in one
    way: the id is taken out of the list."""

    def __init__(self, view: LifecycleView, place: Place, base: ClusterScope) -> None:
        super().__init__(view, place, base)
        self._view = view
        self.lifecycle_entry = LifecycleEntry(view.field, view.singular, place.arguments[0])

    def decide(self, attributes: Attributes) -> Decision:
        if attributes.user.is_master or self._view.allows(self.place, attributes):
            return ALLOWED
        return NO_OPINION

    def apis(self) -> ApiSet:
        return self.view.api_set(self.view.apis(self.place))

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        return Filter(self._view.waits(self.place.arguments[0]), adds=self._view.adds)


def scope_of(view: LifecycleView, place: Place, base: ClusterScope, path: str, *, discovery_is_content: bool) -> Scope:
    """LogicalClusters for `*` and for their own resource, however its path is spelled; for all else in one cluster the workspace
    itself."""
    if place.cluster is None:
        return LogicalClusterScope(view, place, base)
    try:
        asked = parse("POST", path, Request("POST", path))
    except StatusError:
        # Refused by whoever serves it, after the caller is known.
        return ContentScope(view, place, base)
    own = (asked.group, asked.resource) == (GROUP, PLURAL) if asked.is_resource else not discovery_is_content
    return LogicalClusterScope(view, place, base) if own else ContentScope(view, place, base)
