"""A scope: which clusters, which resources, which objects, as whom; and a call, one request for a resource in it.

Every verb works on a scope and on nothing else, so a logical cluster, the wildcard of a range and each virtual workspace are the
same code.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tenantry.apiserver.admission.attributes import Admission
from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.forbidden import forbidden_request
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.http.messages import Reply
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition, Version
from tenantry.kube.objects import GroupResource, Object
from tenantry.kube.status import method_not_allowed
from tenantry.storage.cell import Cell
from tenantry.storage.keys import Key
from tenantry.storage.range import Range
from tenantry.storage.record import Record


class Visibility(Protocol):
    """Which records of a resource exist in a scope, beyond cluster and selectors.

    `adds`: an object that a change brings into sight is ADDED in watches. False: it is MODIFIED, as in a stream from which the
    events of before are left out.
    """

    adds: bool

    def sees(self, record: Record) -> bool: ...

    def at(self, version: int) -> Visibility:
        """As it was at a version, as far as is known: what the client of a watch that is resumed was shown. Itself where nothing
        changed since. Raises TooOld."""
        ...

    def subscribe(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Calls back when `sees` may answer differently for records that did not change; returns how to stop.
        A watch then compares what it showed with what is visible now and sends ADDED and DELETED."""
        ...


class Scope(Protocol):
    """Where a request works. `cluster` is None for a wildcard, which spans the clusters of `range`."""

    @property
    def cluster(self) -> str | None: ...

    @property
    def cell(self) -> Cell: ...

    @property
    def range(self) -> Range: ...

    @property
    def authorizer(self) -> Authorizer: ...

    @property
    def admission(self) -> Admission: ...

    def apis(self) -> ApiSet:
        """The APIs served here now. The same value as long as nothing changed."""
        ...

    def watch_apis(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Calls back when `apis()` may have changed (watches of a vanished API end); returns how to stop."""
        ...

    def visibility(self, definition: ResourceDefinition, user: User, verb: str) -> Visibility | None:
        """What exists for a user who was let do `verb` (list, watch, get, …). None: every record of the resource in the scope's
        clusters."""
        ...

    def acting_user(self, user: User, attributes: Attributes) -> User:
        """As whom admission sees an authorized request; usually the caller."""
        ...

    def present(self, definition: ResourceDefinition, user: User) -> Callable[[Object], Object] | None:
        """A view's computed picture of an object, or None where objects are shown as they are."""
        ...

    def catalog(self, definition: ResourceDefinition, key: Key, obj: Object | None) -> Mapping[bytes, bytes | None]:
        """The catalog copies that belong into the transaction that writes `obj` (None: deletes)."""
        ...

    def connector(self, definition: ResourceDefinition, subresource: str) -> Connector | None:
        """The answerer of a resource that is not stored (access reviews) or of a special subresource (token), else None."""
        ...


@dataclass(slots=True, eq=False)
class Call:
    """`verb` is the API verb (get, list, watch, create, update, patch, delete, deletecollection). `namespace` is empty for
    cluster-scoped types and for requests over all namespaces, `name` for collections.

    `warnings` are sent with the answer, also with a refusal.
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
    """Of the body, as `work.weigh` has it."""

    @property
    def shape(self) -> Version:
        """The version of the type that the request speaks."""
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
        """Where the named object lives."""
        return Key(self.cluster, self.definition.storage_key, self.namespace, self.name)

    @property
    def attributes(self) -> Attributes:
        """The question that authorization was asked about this request."""
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
        """Raises StatusError 403 where the caller of an update or apply that comes to a creation may not create."""
        question = self.attributes._replace(verb="create")
        decision = self.scope.authorizer.authorize(question)
        if not decision.allowed:
            raise forbidden_request(question, decision.reason)

    def acting_user(self) -> User:
        """As whom admission sees the write."""
        return self.scope.acting_user(self.user, self.attributes)


Connector = Callable[[Call], Awaitable[Reply]]
"""The answerer of a resource that is not stored, or of a special subresource."""
