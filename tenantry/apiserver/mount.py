"""How a URL becomes a scope, in two steps: where the place is, and what it is to a caller who is known by then."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from tenantry.apiserver.hidden import Hidden
from tenantry.apiserver.request import Request
from tenantry.apiserver.scope import Scope


class Place(Protocol):
    """A place that is answered for here, whether it exists or not.

    `cluster`: as in `Scope`, empty where there is none. `path`: what follows the mount's part of the URL.
    """

    @property
    def cluster(self) -> str | None: ...

    @property
    def path(self) -> str: ...

    def scope(self, request: Request) -> tuple[Scope | Hidden, str]:
        """The scope, and the Kubernetes path inside it (`/api/v1/…`). The caller is authenticated, and nobody has looked at what
        he may: what would tell whether something exists is no error but a `Hidden` place. Raises StatusError for what is the
        same for all."""
        ...


class Elsewhere(NamedTuple):
    """A place in a range that another shard owns. `path` is the URL path under which its owner is asked."""

    range_name: str
    path: str


class Mount(Protocol):
    """A part of the URL space: `/clusters/…`, `/ranges/…`, `/services/…`."""

    def locate(self, path: str) -> Place | Elsewhere:
        """Where a path leads; `path` is what follows the mount's prefix. Nobody has looked at the caller yet, and no rules of
        tenancy are asked. Raises StatusError 503 while it cannot be told."""
        ...
