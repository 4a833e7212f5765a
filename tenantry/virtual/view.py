"""The base class of virtual workspaces, for service teams. docs/virtual-workspaces.md shows how to write one.

A virtual workspace is an apiserver under a URL of its own, `/services/<name>/…`, that shows a computed view of many workspaces. A
subclass of `View` defines who may use it, its APIs, its objects, what the objects look like, and its verbs. Everything else
(discovery, selectors, tables, watches, pages, resourceVersions) works as in every other apiserver here.

All methods of a view run on the event loop and answer from memory: none may block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

from tenantry.apiserver.authorization import Attributes
from tenantry.apiserver.scope import Scope
from tenantry.apiserver.user import User
from tenantry.apiserver.visibility import Changed
from tenantry.kube.api_set import ApiSet, ApiSets
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
from tenantry.storage.record import Record
from tenantry.tenancy.authorization.cluster_authorizer import ClusterAuthorizer, MayAccess
from tenantry.tenancy.cluster_scope import ClusterScope
from tenantry.tenancy.computed.collections import Collections
from tenantry.tenancy.types import SystemDefinitions
from tenantry.tenancy.types.view_type import ViewType
from tenantry.virtual.access_changes import AccessChanges
from tenantry.virtual.copied_objects import CopiedObjects, CopyChanged
from tenantry.virtual.fixture import Fixture

READ_VERBS = ("get", "list", "watch")
_SETS_BYTES_MAX = 16 << 20


class Place(NamedTuple):
    """The part of a view that a request is for: `/services/<view>/<argument>/…/clusters/<cluster or *>`.

    `arguments`: the values of `View.arguments`. `cluster`: a logical cluster id, or None for `*`, all clusters of the range.
    `range`: the name of the range.
    """

    arguments: tuple[str, ...]
    cluster: str | None
    range: str


class Paths(Protocol):
    """Where workspaces are."""

    def cluster_of(self, path: str) -> str | None:
        """The id of the logical cluster at a path, which may be an id already; None if there is none."""
        ...

    def path_of(self, cluster: str) -> str | None:
        """The path of a logical cluster (id); None if it is not known."""
        ...


Exported = Callable[[str, str, str], ResourceDefinition | None]
"""(identity hash, group, plural) → the definition of a type of the exports with this identity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewContext:
    """What a shard gives to its views.

    `authorizer`: RBAC of logical clusters. `definitions`: the types that every logical cluster has. `directory`: where
    workspaces are, by path and id. `access_changes`: notifies when the workspaces that users may access have changed.
    `collections`: the objects of computed views. `copies`: what every shard has of the objects of all ranges. `exported`: the
    types of exports.
    """

    authorizer: ClusterAuthorizer
    definitions: SystemDefinitions
    directory: Paths
    access_changes: AccessChanges
    collections: Collections
    copies: CopiedObjects
    exported: Exported


class View:
    """The base class of every virtual workspace. A shard makes each view once, when it starts.

    `name`: the path segment after `/services/`, a DNS label. `arguments`: names of the path segments after that. `per_cluster`:
    whether the path continues with `/clusters/<id or *>`; if not, `cluster_of` returns the logical cluster that the arguments
    mean. `repeats_cluster`: whether the path of such a view may continue with `/clusters/<that id or *>`, which means the same.

    `verbs`: the verbs that clients may use. A view that overrides `show` and has verbs that write overrides `store`.
    `subresources`: the subresources that clients may use, each with those of its verbs that are in `verbs`
    (`status` has get, update and patch; `token` has create). A subresource without a verb that writes is not served.

    `types`: types that the package of the view brings, which every logical cluster serves. `interface`: the version of
    `tenantry.virtual.interface` that the class needs, for example `1.0`; empty: any. `fixture`: what `tenantry views check`
    tries the view with.
    """

    name = ""
    arguments: tuple[str, ...] = ()
    per_cluster = True
    repeats_cluster = False
    verbs: tuple[str, ...] = READ_VERBS
    subresources: tuple[str, ...] = ("status",)
    types: tuple[ViewType, ...] = ()
    fixture: Fixture | None = None
    interface = ""

    def __init__(self, context: ViewContext) -> None:
        self.context = context
        self._sets = ApiSets("view_apis", bytes_max=_SETS_BYTES_MAX)

    def allows(self, place: Place, question: Attributes) -> bool:
        """Whether `question.user` may do `question.verb` here, on a resource or on a discovery path. Not called for
        system:masters, who may do everything that the view serves."""
        raise NotImplementedError

    def apis(self, place: Place) -> Iterable[ResourceDefinition]:
        """The types that the view serves here. No types: the place does not exist (404)."""
        raise NotImplementedError

    def sees(self, place: Place, user: User, record: Record) -> bool:
        """Whether the user sees an object. `record.head` has its labels, so that `record.value` need not be decoded."""
        return True

    def seeing(self, place: Place, user: User) -> Callable[[Record], bool]:
        """`sees` for one request, which asks it of every object. Override it instead of `sees` to look up once what all objects
        of a request have in common. A watch asks the same function as long as it lasts: it answers as it is at the time."""
        return partial(self.sees, place, user)

    def seeing_at(self, place: Place, user: User, version: int) -> Callable[[Record], bool] | None:
        """`seeing` as it was at a resourceVersion, for a view whose `sees` depends on more than the object: for the next page of
        a list, and for a watch that resumes. None: nothing has changed since. Raises `tenantry.storage.range.TooOld` if it is not
        known; so may the function. The client then lists again."""
        return None

    def show(self, place: Place, user: User, obj: Object) -> Object:
        """The object as the user sees it. `obj` is a copy, which may be changed and returned."""
        return obj

    def store(self, place: Place, user: User, shown: Object, stored: Object | None) -> Object:
        """The object to be stored for `shown`, the object as the user wrote it: as it sent it, or as its patch makes it of what
        `show` returned. `stored`: the object that is stored, None if it is created. Both are copies, which may be changed and
        returned.

        A view that overrides `show` and has `verbs` that write overrides this too. Name, namespace and managedFields of the
        answer do not count. Raises StatusError to refuse the write.
        """
        return shown

    def watch_sees(self, place: Place, user: User, changed: Changed) -> Callable[[], None]:
        """For views whose `sees` depends on more than the object: calls `changed` when its answers may have changed, and open
        watches send ADDED and DELETED. `changed(names)` is about the objects of these names, and costs less. Returns a function
        that ends this."""
        return lambda: None

    def watch_apis(self, place: Place, changed: Callable[[], None]) -> Callable[[], None]:
        """For views whose `apis` change: calls `changed` after a change, and watches of types that are no longer served end.
        Returns a function that ends this."""
        return lambda: None

    def cluster_of(self, arguments: tuple[str, ...]) -> str | None:
        """The id of the logical cluster that the arguments mean, for a view that is not `per_cluster`. None: there is none
        (404)."""
        raise NotImplementedError

    def ready(self) -> str | None:
        """None if the view can answer; else the reason why not, and its requests get 503. It is shown in /readyz, and makes
        nothing else unready. It is asked for each request, so it looks at what the view knows already."""
        return None

    def scope(self, place: Place, base: ClusterScope, path: str) -> Scope | None:
        """The scope that answers a request for `path`, the Kubernetes path in the view. None: the methods above answer it
        (`view_scope.ViewScope`).

        `base` is the scope without the view: the logical cluster, or all clusters of the range.
        """
        return None

    def may(
        self, user: User, verb: str, cluster: str, *, group: str = "", resource: str = "", name: str = "", path: str = ""
    ) -> bool:
        """Whether RBAC in a logical cluster (id) allows a verb on a `resource` (plural, or `plural/subresource`) or on a `path`.

        Of clusters on other shards, only the RBAC that is copied to all shards is known (`tenantry.tenancy.catalog_copies`).
        """
        plural, _, subresource = resource.partition("/")
        question = Attributes(user, verb, cluster, group=group, resource=plural, subresource=subresource, name=name, path=path)
        return self.context.authorizer.authorize(question).allowed

    def may_access(self, user: User, cluster: str, *, owner: str = "") -> bool:
        """Whether a user may access a logical cluster (id) on any shard. `owner`: the user name of the owner in its Workspace,
        if known."""
        return self.context.authorizer.may_access(user, cluster, owner=owner)

    def accessible(self, user: User) -> MayAccess:
        """`may_access` of one user for many clusters: a function of a cluster (id) and of the owner's user name, or an empty
        text."""
        return self.context.authorizer.accessible(user)

    def accessible_at(self, user: User, parent: str, version: int) -> MayAccess | None:
        """`accessible` as it was at a resourceVersion, for the workspaces under `parent` (id), which this shard has. None:
        nothing has changed since. Raises `tenantry.storage.range.TooOld`; so may the function."""
        return self.context.authorizer.accessible_at(user, parent, version)

    def definition(self, group: str, plural: str) -> ResourceDefinition:
        """The definition of a type that every logical cluster has: built-in, of kcp or of a view. Raises LookupError for other
        types."""
        return self.context.definitions.get(group, plural)

    def exported(self, identity: str, group: str, plural: str) -> ResourceDefinition | None:
        """The definition of a type of the exports with an identity hash, in all logical clusters that have bound it; None if
        there is none. It is the same value until its schema changes."""
        return self.context.exported(identity, group, plural)

    def copy(self, resource: str, cluster: str, name: str) -> Object | None:
        """The copy that every shard has of an object of any shard; None if there is none. `resource`: `<group>/<plural>`. Do not
        change it."""
        return self.context.copies.get(resource, cluster, name)

    def copies(self, resource: str, cluster: str | None = None) -> Iterator[tuple[str, str, Object]]:
        """(cluster, name, object) of every copy of a resource, or of those of one logical cluster. Do not change them."""
        return self.context.copies.each(resource, cluster)

    def watch_copies(self, resource: str, changed: CopyChanged) -> Callable[[], None]:
        """Calls `changed` with cluster, name and object (None: deleted) after each change of a copy of a resource, for
        `watch_sees` and `watch_apis`. Returns a function that ends this."""
        return self.context.copies.subscribe(resource, changed)

    def api_set(self, definitions: Iterable[ResourceDefinition]) -> ApiSet:
        """The ApiSet of these definitions. Equal definitions give the same value, so that its documents are made once."""
        return self._sets.of(definitions)
