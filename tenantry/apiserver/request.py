"""A request to the Kubernetes API: an HTTP request with its user."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from tenantry.apiserver.audit.trail import AuditTrail
from tenantry.apiserver.user import User
from tenantry.http import messages
from tenantry.http.websocket import subprotocols
from tenantry.kube.schema.request_uri import is_request_uri

_BEARER_PROTOCOL = "base64url.bearer.authorization.k8s.io."
_BASE64 = re.compile(r"[A-Za-z0-9_-]*")
_TOKEN = re.compile(r"[!-~]*")
_PROTOCOLS = "Sec-WebSocket-Protocol"


@dataclass(slots=True, eq=False)
class Request(messages.Request):
    """`user` is set by the pipeline when the request is authenticated, or earlier by a trusted caller in the same process (peers,
    controllers). Where `user` is impersonated, `impersonator` is the user who asked for it, and
    `impersonation_constraint` the verb that allowed it; empty for `impersonate`.

    `beyond_capacity`: another shard asks for a logical cluster in a range that may be full. Only a shard sets it: on its own
    request, or by the header of that request once its certificate is verified (`RequestHeaders`). `view`: the name of the view
    that answers it; empty where none does. `malformed_token`: a subprotocol was to bring a token and does not. `audit`: what is
    recorded of it; None: nothing.
    """

    user: User | None = None
    impersonator: User | None = None
    impersonation_constraint: str = ""
    beyond_capacity: bool = False
    view: str = ""
    malformed_token: bool = False
    audit: AuditTrail | None = None

    def prepare_websocket(self) -> None:
        """Reads the token that browsers, which send no header of their own with a handshake, hide in a subprotocol: from now on
        it is an Authorization header. Another subprotocol must be left for the answer (kube-apiserver). A bearer token in a
        header goes first."""
        if self.headers.get("authorization", "").lower().startswith("bearer "):
            return
        offered = subprotocols(self)
        hidden = [protocol for protocol in offered if protocol.startswith(_BEARER_PROTOCOL)]
        if not hidden:
            return
        others = [protocol for protocol in offered if not protocol.startswith(_BEARER_PROTOCOL)]
        token = _decoded(hidden[0].removeprefix(_BEARER_PROTOCOL))
        if token is None or len(hidden) > 1 or (token and not others):
            self.malformed_token = True
        elif token:
            authorization = f"Bearer {token}"
            self.replace_headers({_PROTOCOLS: ", ".join(others), "Authorization": authorization})
            self.known_credential = messages.credential_of(authorization)

    def accepts_origin(self, origin: str) -> bool:
        """Any page may, since it needs a token: kube-apiserver wants the header to be a URL, and nothing else of it."""
        return is_request_uri(origin) and origin != "null"


Handler = messages.Handler[Request]
"""Answers requests. Raises StatusError, or the HttpError of a body."""


def _decoded(text: str) -> str | None:
    """A token in base64url without padding; None if it is not, or if it could not stand in a header."""
    if _BASE64.fullmatch(text) is None:
        return None
    try:
        token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    return token if _TOKEN.fullmatch(token) is not None else None
