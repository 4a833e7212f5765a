"""How a URL becomes a scope, in two steps: `PathResolver.locate` finds the route, before authentication, and
`LocalRoute.resolve` makes the scope for the authenticated caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from tenantry.apiserver.authorization import Authorizer
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Scope


class Resolved(NamedTuple):
    """What a route is for a request: the Kubernetes path inside it (`/api/v1/…`), and its scope.

    `scope` is None where the route does not exist. Its authorizer (`hidden.HiddenScope`) then refuses the request as where the
    caller may not enter, but for health checks. `cluster` and `authorizer` are as in `Scope`.
    """

    path: str
    cluster: str | None
    authorizer: Authorizer
    scope: Scope | None


class LocalRoute(Protocol):
    """A route that this process serves. It need not exist.

    `cluster` is as in `Scope`, empty where there is none. `path` is the rest of the URL path, after the resolver's part.
    """

    @property
    def cluster(self) -> str | None: ...

    @property
    def path(self) -> str: ...

    def resolve(self, request: Request) -> Resolved:
        """The scope of a request. The caller is authenticated but not authorized yet. So an error that would show whether
        something exists is not raised: the authorizer raises it for those who may know. Raises StatusError for errors that are
        the same for all callers."""
        ...


class RemoteRoute(NamedTuple):
    """A route in a range that another shard owns. `path` is the URL path for the request to the owner.

    `view`: the name of the view that serves it in a process of its own, empty for other routes. `here`: the route in this
    process, for requests that such a process sends on.
    """

    range_name: str
    path: str
    view: str = ""
    here: Callable[[], LocalRoute | RemoteRoute] | None = None


class PathResolver(Protocol):
    """A part of the URL space: `/clusters/…`, `/ranges/…`, `/services/…`."""

    def locate(self, path: str) -> LocalRoute | RemoteRoute:
        """The route for a path; `path` is what follows the resolver's prefix. It runs before authentication and applies no rules
        of tenancy. Raises StatusError 503 while the route is not known."""
        ...
