"""What is known of a request before it is carried out (authorizer.Attributes and user.Info in k8s.io/apiserver), as policies and
schemas read it."""

from __future__ import annotations

from typing import Protocol


class RequestUser(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def groups(self) -> tuple[str, ...]: ...


class RequestAttributes(Protocol):
    """A request for a resource has `resource`, and what belongs to it; others have their `path`."""

    @property
    def verb(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def resource(self) -> str: ...
    @property
    def subresource(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def path(self) -> str: ...
