"""A scope: which clusters, which resources, which objects, as whom. Every verb works on a scope and on nothing else,
so a logical cluster, the wildcard of a range and each virtual workspace are the same code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from tenantry.apiserver.admission.attributes import Admission
from tenantry.apiserver.authorization import Attributes, Authorizer
from tenantry.apiserver.hidden import Hidden
from tenantry.apiserver.request import Request
from tenantry.apiserver.user import User
from tenantry.http.messages import Reply
from tenantry.kube.api_set import ApiSet
from tenantry.kube.definition import ResourceDefinition
from tenantry.kube.objects import Object
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


Connector = Callable[["Call"], Awaitable[Reply]]


class Call(Protocol):
    """What a connector is given; `tenantry.apiserver.verbs.call.Call` is the one implementation."""

    request: Request
    scope: Scope
    user: User
    definition: ResourceDefinition
    version: str
    namespace: str
    name: str
    subresource: str


class Mount(Protocol):
    """A part of the URL space: how `/clusters/…`, `/services/<view>/…` become a scope."""

    async def resolve(self, request: Request, path: str) -> tuple[Scope | Hidden, str] | Reply:
        """The scope, and the Kubernetes path inside it (`/api/v1/…`). `path` is what follows the mount's prefix.

        Or a whole reply, where the request is passed on elsewhere. Nobody has looked at the caller yet: what would tell whether
        something exists is no error but a `Hidden` place. Raises StatusError for what is the same for all.
        """
        ...
