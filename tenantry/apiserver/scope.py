"""A scope says which clusters, resources and objects a request sees, and as which user. A call is one request for a resource in a
scope.

Every verb works on a scope and nothing else, so the same code serves a logical cluster, the wildcard of a range and each virtual
workspace.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tenantry.apiserver.admission.dynamic import WholeAdmission
from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.conversion.converter import Converter
from tenantry.apiserver.forbidden import forbidden_request
from tenantry.apiserver.hub import Hubs
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.apiserver.visibility import Visibility
from tenantry.http.messages import Reply
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.status import StatusError, method_not_allowed, not_found
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range


class Translation(Protocol):
    """How a view shows objects to a user, and what it stores of what the user writes.

    `definition`: the type as which objects are stored, where the view serves another form of it; else None. `in_threads`: whether
    `shown` and `stored` work on values alone, so that they need not run on the event loop.
    """

    @property
    def definition(self) -> ResourceDefinition | None: ...

    @property
    def in_threads(self) -> bool: ...

    def check(self, sent: Object, /) -> None:
        """Raises StatusError where an object, as the user wrote it or as its patch makes it, or the configuration that it
        applies, has what the user may not write. `sent` is not changed, and the configuration may be of any shape."""
        ...

    def shown(self, obj: Object, /) -> Object:
        """The object as the user sees it. `obj` is a copy, which may be changed."""
        ...

    def stored(self, shown: Object, old: Object | None, /) -> Object:
        """The object to be stored for one that the user wrote. `old`: the stored one, None if it is created. Both are
        copies."""
        ...

    def managers_shown(self, entries: list[Object] | None, /) -> list[Object] | None:
        """The part of stored managedFields that a write of the user works on."""
        ...

    def managers_stored(self, entries: list[Object] | None, old: list[Object] | None, /) -> list[Object] | None:
        """The managedFields to be stored for what a write has made of `managers_shown(old)`."""
        ...

    def refusal(self, error: StatusError, /) -> StatusError:
        """What the user is told where admission or validation refuses the object to be stored."""
        ...

    def warnings(self, texts: list[str], /) -> list[str]:
        """What the user is told of the warnings of admission and validation."""
        ...


Translating = Callable[[ResourceDefinition, User], Translation | None]
"""The translation of a user's writes to objects of a type; None where they are shown as they are stored."""


class Scope(Protocol):
    """The scope of a request. `cluster` is None for a wildcard, which covers all clusters of `range`."""

    @property
    def cluster(self) -> str | None: ...

    @property
    def cell(self) -> Cell: ...

    @property
    def range(self) -> Range: ...

    @property
    def hubs(self) -> Hubs:
        """The watchers of the shard's ranges."""
        ...

    @property
    def converter(self) -> Converter:
        """Converts objects of types whose versions a webhook converts."""
        ...

    @property
    def authorizer(self) -> Authorizer: ...

    @property
    def admission(self) -> WholeAdmission: ...

    def apis(self) -> ApiSet:
        """The APIs served here now. It returns the same value as long as nothing has changed."""
        ...

    def listed(self, apis: ApiSet) -> ApiSet:
        """What discovery lists of `apis()`: types whose objects cannot be served at the moment may be left out."""
        ...

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Calls back when `apis()` may have changed (watches of a removed API end). Returns a function that ends this."""
        ...

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        """Which records exist for a user who is allowed to do `verb` (list, watch, get, …). None: every record of the resource in
        the scope's clusters."""
        ...

    @property
    def shown_since(self) -> int:
        """The version since which all objects are visible, where `visibility` is None: a watch that resumes from an earlier one
        lists again. 0: always."""
        ...

    def acting_user(self, user: User) -> User:
        """The user that admission sees for an authorized request; usually the caller."""
        ...

    def present(self, definition: ResourceDefinition, user: User) -> Callable[[Object], Object] | None:
        """A function of a view that computes the shown form of an object. None where objects are shown as stored. With a true
        attribute `in_threads` it works on values alone, so that large objects need not be shown on the event loop."""
        ...

    @property
    def translation(self) -> Translating | None:
        """How writes are translated, for scopes of views that show objects in another form than they are stored in. Else None."""
        ...

    def catalog(self, definition: ResourceDefinition, key: Key, obj: Object | None) -> Mapping[bytes, bytes | None]:
        """The catalog copies to commit in the same transaction as `obj` (None: a deletion)."""
        ...

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        """The connector for a resource that is not stored (access reviews), or for a special subresource (token). Else None."""
        ...


@dataclass(slots=True, eq=False)
class Call:
    """One request for a resource in a scope. `verb` is the API verb (get, list, watch, create, update, patch, delete,
    deletecollection). `namespace` is empty for cluster-scoped types and for requests over all namespaces. `name` is empty for
    collections.

    `warnings` are sent with the answer, also with an error.
    """

    request: Request
    scope: Scope
    user: User
    definition: ResourceDefinition
    version: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    verb: str = ""
    warnings: list[str] = field(default_factory=list)
    weight: int = 0
    """Weight of the body, in the unit of `work.weigh`."""
    audit_annotations: dict[str, str] = field(default_factory=dict)
    """What webhooks and policies want to see in the audit log about the request."""

    @property
    def shape(self) -> Version:
        """The version of the type that the request uses."""
        return self.definition.versions[self.version]

    @property
    def group_resource(self) -> GroupResource:
        return self.definition.group_resource

    @property
    def cluster(self) -> str:
        """The logical cluster. Raises StatusError 405 on a wildcard, which has none."""
        cluster = self.scope.cluster
        if cluster is None:
            raise method_not_allowed(self.group_resource, self.verb)
        return cluster

    @property
    def key(self) -> Key:
        """The storage key of the named object."""
        return Key(self.cluster, self.definition.storage_key, self.namespace, self.name)

    @property
    def attributes(self) -> Attributes:
        """The question to the authorizer about this request."""
        group, resource = self.definition.group_resource
        return Attributes(
            self.user,
            self.verb,
            self.scope.cluster or "*",
            group,
            self.version,
            resource,
            self.subresource,
            self.namespace,
            self.name,
        )

    def require_create(self) -> None:
        """Raises StatusError where an update or apply would create the object: 403 if its caller may not create, 404 if the type
        is served here without that verb."""
        question = self.attributes._replace(verb="create")
        decision = self.scope.authorizer.authorize(question)
        if not decision.allowed:
            raise forbidden_request(question, decision.reason)
        if "create" not in self.definition.verbs:
            raise not_found(self.group_resource, self.name)

    def acting_user(self) -> User:
        """The user that admission sees for the write."""
        return self.scope.acting_user(self.user)


Connector = Callable[[Call], Awaitable[Reply]]
"""Answers requests for a resource that is not stored, or for a special subresource."""
