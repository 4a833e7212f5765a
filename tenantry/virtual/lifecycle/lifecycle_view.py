"""The base of the views for initializers and terminators.

Both serve the controller of a WorkspaceType. They show it the LogicalClusters that wait for it (list and watch over a range;
get, and the status, of one), and give it access to the contents of those workspaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tenantry.apiserver.authorization import ALLOWED, NO_OPINION, Attributes, Decision
from tenantry.apiserver.request import Request
from tenantry.apiserver.request_info import parse
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.user import User
from tenantry.apiserver.visibility import Visibility
from tenantry.base.cache import Cache
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.kube.rbac.policy_rules import CompiledRules
from tenantry.kube.status import StatusError
from tenantry.placement.catalog import Catalog
from tenantry.storage.record import Record
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.exports.hashing import lifecycle_hash
from tenantry.tenancy.resources import WORKSPACE_TYPES
from tenantry.tenancy.workspaces.lifecycle_entry import LifecycleEntry, LifecycleScope
from tenantry.virtual.lifecycle.content_scope import ContentScope
from tenantry.virtual.restricted_definitions import READ_ONLY_STATUS, restricted
from tenantry.virtual.view import READ_VERBS, Place, View, ViewContext
from tenantry.virtual.view_scope import Filter, ViewScope

GROUP, VERSION, PLURAL = "core.kcp.io", "v1alpha1", "logicalclusters"
TENANCY_GROUP = "tenancy.kcp.io"
LABEL_KEY_LENGTH = 63
OBJECT_PATH = f"/apis/{GROUP}/{VERSION}/{PLURAL}"


def lifecycle_label(prefix: str, identifier: str) -> tuple[str, str]:
    """(key, value) of the label of LogicalClusters that wait for an initializer or terminator (kcp)."""
    value = lifecycle_hash(identifier)
    return prefix + value[: LABEL_KEY_LENGTH - len(prefix)], value


def may_act(authorizer: ClusterAuthorizer, user: User, verb: str, identifier: str) -> bool:
    """Whether a user has the RBAC verb `initialize` or `terminate` on the type of `identifier`, `<cluster id of the
    type>:<type>`."""
    cluster, colon, name = identifier.rpartition(":")
    if not colon or not cluster:
        return False
    question = Attributes(user, verb, cluster, group=TENANCY_GROUP, version="v1alpha1", resource="workspacetypes", name=name)
    return authorizer.allows_deep(question)


class LifecycleView(View):
    """`verb`: the RBAC verb on the type. `field`: the list in spec and status of the LogicalCluster. `singular`: the name of
    one entry. `group_prefix`: the prefix of the groups of such controllers.

    `adds`: whether watches report a LogicalCluster that begins to wait as ADDED, or as MODIFIED.
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
        """The rules that a type gives its controller. Compiled again only when they change."""
        known = self._compiled.get(identifier)
        if known is None or known[0] != rules:
            known = rules, CompiledRules(rules)
            self._compiled.put(identifier, known)
        return known[1]

    def workspace_type(self, cluster: str, name: str) -> Object | None:
        """A WorkspaceType of any shard by its cluster (id) and name; None if it does not exist."""
        return self._catalog.get(WORKSPACE_TYPES, cluster, name)

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        definition = self.context.definitions.logical_clusters
        if place.cluster is None:
            return (restricted(definition, READ_VERBS, READ_ONLY_STATUS),)
        return (restricted(definition, ("get",)),)

    def allows(self, place: Place, question: Attributes) -> bool:
        return may_act(self.context.authorizer, question.user, self.verb, place.arguments[0])

    def waits(self, identifier: str) -> Callable[[Record], bool]:
        """The predicate of LogicalClusters that wait for `identifier`, by their labels."""
        raise NotImplementedError

    def in_phase(self, logical_cluster: Object) -> bool:
        """Whether the controller has access to a workspace in this phase."""
        raise NotImplementedError


class LogicalClusterScope(ViewScope, LifecycleScope):
    """The LogicalClusters that wait for an initializer or terminator: those of a range, or one. The only allowed change removes
    the entry from the list in the status."""

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
        identifier = self.place.arguments[0]
        return Filter(self._view.waits(identifier), (self._view.name, identifier), adds=self._view.adds)


def scope_of(view: LifecycleView, place: Place, base: ClusterScope, path: str, *, discovery_is_content: bool) -> Scope:
    """`LogicalClusterScope` for `*` and for requests about LogicalClusters; otherwise `ContentScope`, the workspace itself.

    `discovery_is_content`: whether discovery in one cluster is that of the workspace.
    """
    if place.cluster is None:
        return LogicalClusterScope(view, place, base)
    try:
        asked = parse("POST", path, Request("POST", path))
    except StatusError:
        # The scope refuses it after authentication.
        return ContentScope(view, place, base)
    own = (asked.group, asked.resource) == (GROUP, PLURAL) if asked.is_resource else not discovery_is_content
    return LogicalClusterScope(view, place, base) if own else ContentScope(view, place, base)
