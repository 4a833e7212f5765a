"""What a service team writes: a virtual workspace is a subclass of `View`.

A view is an apiserver under a URL of its own, `/services/<name>/…`, that shows a computed picture of many tenants. A subclass
says who may enter, which APIs there are, which objects, what they look like and which verbs; everything else (discovery,
selectors, tables, watches, pages, resourceVersions) is that of every other apiserver here.

Everything a view answers is answered from memory and on the event loop: no method may wait or block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.user import User
from tenantry.kube.api_set import ApiSet, ApiSets
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.placement.directory import Directory
from tenantry.storage.record import Record
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.types import SystemDefinitions
from tenantry.virtual.access_changes import AccessChanges

READ_VERBS = ("get", "list", "watch")
_SETS_BYTES_MAX = 16 << 20


class Place(NamedTuple):
    """Where in a view a request goes: `/services/<view>/<argument>/…/clusters/<cluster or *>`.

    `arguments` are the values of `View.arguments`. `cluster` is a logical cluster id, None for `*`: all clusters of the range
    with the name `range`.
    """

    arguments: tuple[str, ...]
    cluster: str | None
    range: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewContext:
    """What the process gives to a view.

    `authorizer` answers questions of RBAC, `definitions` has the types that every logical cluster has, `directory` knows where
    workspaces are, and `access_changes` tells when other workspaces than before may be entered.
    """

    authorizer: ClusterAuthorizer
    definitions: SystemDefinitions
    directory: Directory
    access_changes: AccessChanges


class View:
    """The base of every virtual workspace. Made once in a process, when it starts.

    `name` is the segment after `/services/`, and `arguments` names the segments after it. `per_cluster` says that
    `/clusters/<id or *>` follows; where it does not, `cluster_of` tells which logical cluster the arguments mean.
    `verbs` are those that clients may use; writing ones work on the stored objects, so a view that allows them must not
    override `show`. `subresources` are the names under objects that clients may use with those of their verbs that `verbs` has
    (`status`: get, update and patch; `token`: create); one that nobody could write to is left out. What a view does not name is
    not there.
    """

    name = ""
    arguments: tuple[str, ...] = ()
    per_cluster = True
    verbs: tuple[str, ...] = READ_VERBS
    subresources: tuple[str, ...] = ("status",)

    def __init__(self, context: ViewContext) -> None:
        self.context = context
        self._sets = ApiSets("view_apis", bytes_max=_SETS_BYTES_MAX)

    def allows(self, place: Place, question: Attributes) -> bool:
        """Whether `question.user` may do this here (`question.verb` on a resource, or on a discovery path). system:masters are
        not asked about. `may` asks the RBAC of a cluster."""
        raise NotImplementedError

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        """The types that are served; `definition` finds them. Nothing: the place is unknown (404)."""
        raise NotImplementedError

    def sees(self, place: Place, user: User, record: Record) -> bool:
        """Whether an object is in the view. `record.head` has labels and more without decoding the object."""
        return True

    def show(self, place: Place, user: User, obj: Object) -> Object:
        """What an object looks like; `obj` is a copy that may be changed and returned."""
        return obj

    def watch_sees(self, place: Place, user: User, changed: Callable[[], None]) -> Callable[[], None]:
        """For views whose `sees` rests on more than the object: call `changed` when it may answer differently, so that open
        watches send ADDED and DELETED. Returns how to stop."""
        return lambda: None

    def watch_apis(self, place: Place, changed: Callable[[], None]) -> Callable[[], None]:
        """For views whose `apis` change: call `changed` then, so that watches of what vanished end. Returns how to stop."""
        return lambda: None

    def cluster_of(self, arguments: tuple[str, ...]) -> str | None:
        """The logical cluster (id) that the arguments mean, for a view that is not `per_cluster`. None: no such place."""
        raise NotImplementedError

    def scope(self, place: Place, base: ClusterScope, path: str) -> Scope | None:
        """How a request for `path` is served. None, as here: as the other methods say (`view_scope.ViewScope`).

        `base` is the scope without the view: the cluster, or the wildcard of the range.
        """
        return None

    def may(
        self, user: User, verb: str, cluster: str, *, group: str = "", resource: str = "", name: str = "", path: str = ""
    ) -> bool:
        """Whether RBAC in a logical cluster lets a user do something there: ask about a `resource` (plural, or
        `plural/subresource`), or about a `path`. Of clusters on other shards only such RBAC is known that offers something."""
        plural, _, subresource = resource.partition("/")
        question = Attributes(user, verb, cluster, group=group, resource=plural, subresource=subresource, name=name, path=path)
        return self.context.authorizer.authorize(question).allowed

    def may_access(self, user: User, cluster: str, *, owner: str = "") -> bool:
        """Whether a user may enter a logical cluster, on whichever shard that is. `owner`: the user name in its Workspace."""
        return self.context.authorizer.may_access(user, cluster, owner=owner)

    def definition(self, group: str, plural: str) -> ResourceDefinition:
        """A type that every logical cluster has: built-in, or kcp's. Raises LookupError for others."""
        return self.context.definitions.get(group, plural)

    def api_set(self, definitions: Iterable[ResourceDefinition]) -> ApiSet:
        """The one ApiSet of these definitions: the same value for the same definitions, so its documents are made once."""
        return self._sets.of(definitions)
