"""A request to the Kubernetes API: an HTTP request with its user."""

from __future__ import annotations

from dataclasses import dataclass

from tenantry.apiserver.audit.trail import AuditTrail
from tenantry.apiserver.user import User
from tenantry.http import messages


@dataclass(slots=True, eq=False)
class Request(messages.Request):
    """`user` is set by the pipeline when the request is authenticated, or earlier by a trusted caller in the same process (peers,
    controllers). Where `user` is impersonated, `impersonator` is the user who asked for it.

    `beyond_capacity`: another shard asks for a logical cluster in a range that may be full. Only a shard sets it: on its own
    request, or by the header of that request once its certificate is verified (`RequestHeaders`). `view`: the name of the view
    that answers it; empty where none does. `audit`: what is recorded of it; None: nothing.
    """

    user: User | None = None
    impersonator: User | None = None
    beyond_capacity: bool = False
    view: str = ""
    audit: AuditTrail | None = None


Handler = messages.Handler[Request]
"""Answers requests. Raises StatusError, or the HttpError of a body."""
