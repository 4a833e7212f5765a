"""A request to the Kubernetes API: one of HTTP, and who asks."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.user import User
from tenantry.http import messages


@dataclass(slots=True, eq=False)
class Request(messages.Request):
    """`user` is set by the pipeline once the request is authenticated, or beforehand by a trusted caller in the same process
    (peers, controllers). Where `user` is impersonated, `impersonator` is who asked for that.
    """

    user: User | None = None
    impersonator: User | None = None


Handler = messages.Handler[Request]
"""Answers requests. Raises StatusError, or passes on the HttpError of a body."""
