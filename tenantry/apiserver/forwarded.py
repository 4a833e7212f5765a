"""The headers of a request that is forwarded to a shard: without headers of the connection, and with the identity of the
caller."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import quote

from tenantry.apiserver.request import Request
from tenantry.apiserver.user import ANONYMOUS, AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP, User
from tenantry.kube.status import StatusError, unauthorized

NOT_OWNER = "X-Tenantry-Not-Owner"
"""Header of a 503 from a shard to a gateway or peer: the shard does not own the range, and nothing was done. So the request may
be sent to the owner, whatever its method. The value is the uid of the owner, or `unknown`."""
FROM_PEER = "X-Tenantry-From-Peer"
"""Header of a request that one shard sends to another one. The receiver does not forward it again."""
BEYOND_CAPACITY = "X-Tenantry-Beyond-Capacity"
"""Header of a request by which one shard asks another to create a logical cluster in a range that is full
(`Request.beyond_capacity`). It counts only with the certificate of a shard, and is never forwarded."""
FORWARDED_HEADERS = 384
"""The most header lines of a forwarded request: those of the client, and one for each group and extra value of its user. Servers
that receive forwarded requests accept as many."""
_DROPPED = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # The server has answered `Expect` already, and the body is framed again.
        "expect",
        "content-length",
        # The request id of this process is sent instead.
        "audit-id",
        "x-forwarded-for",
        # Only gateways and shards send these.
        NOT_OWNER.lower(),
        FROM_PEER.lower(),
        BEYOND_CAPACITY.lower(),
    )
)
"""Headers that are not forwarded: those of RFC 9110 §7.6.1, and those that are written again."""
_IDENTITY = "x-remote-"
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~:@!$&'()*+,;=-]*")
_SAFE_IN_PATH = "/._~:@!$&'()*+,;=-"
_UNSAFE_VALUE = re.compile(r"[\x00-\x1f\x7f]|^\s|\s$|^$")


def request_head(
    request: Request,
    user: User | None,
    *,
    length: int | None,
    by_peer: bool = False,
    hidden: Callable[[str], bool] | None = None,
) -> bytes:
    """The header lines. `user` is the caller, None where this process has not authenticated the request. `length` is the size of
    the body in bytes, None where there is none. `by_peer`: one shard sends the request to another. `hidden`: which other headers
    (in lower case) are not passed on.

    Raises StatusError: 401 where a name of the caller cannot be written in a header, 431 where there are too many headers.
    """
    path = request.path
    if _PLAIN_PATH.fullmatch(path) is None:
        path = quote(path, safe=_SAFE_IN_PATH, errors="surrogateescape")
    target = f"{path}?{request.raw_query}" if request.raw_query else path
    lines = [f"{request.method} {target} HTTP/1.1"]
    dropped = _DROPPED
    connection = request.headers.get("connection")
    if connection is not None and connection.lower() not in ("keep-alive", "close"):
        named = (part.strip().lower() for part in ",".join(request.header_values("connection")).split(","))
        # A request without Host is refused.
        dropped = dropped.union(name for name in named if name != "host")
    forwarded = request.remote
    for name, value in request.headers.items():
        lower = name.lower()
        if lower in dropped:
            if lower == "x-forwarded-for":
                forwarded = f"{value}, {forwarded}"
            continue
        # Some servers treat an underscore as a hyphen, so neither spelling of an identity header may pass.
        if lower.startswith("x") and lower.replace("_", "-").startswith(_IDENTITY):
            continue
        if hidden is not None and hidden(lower):
            continue
        lines.append(f"{name}: {value}")
    if "host" not in request.headers:
        # HTTP/1.0 has none, and 1.1 is refused without (RFC 9112 §3.2).
        lines.append("Host: tenantry")
    if forwarded:
        lines.append(f"X-Forwarded-For: {forwarded}")
    lines.append(f"Audit-Id: {request.request_id}")
    if user is not None:
        lines += _identity(user)
    if by_peer:
        lines.append(f"{FROM_PEER}: true")
        if request.beyond_capacity:
            lines.append(f"{BEYOND_CAPACITY}: true")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if len(lines) > FORWARDED_HEADERS:
        groups = len(user.groups) if user is not None else 0
        raise StatusError(431, "", f"{groups} groups and {len(request.headers)} headers are more than can be passed on")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def _identity(user: User) -> Iterable[str]:
    yield f"X-Remote-User: {_value(user.name)}"
    if user.uid:
        yield f"X-Remote-Uid: {_value(user.uid)}"
    # Who receives it adds the group of all who are authenticated (`as_authenticated`).
    adds = user.name != ANONYMOUS and UNAUTHENTICATED_GROUP not in user.groups
    for group in user.groups:
        if not adds or group != AUTHENTICATED_GROUP:
            yield f"X-Remote-Group: {_value(group)}"
    for name, values in user.extra:
        for value in values:
            yield f"X-Remote-Extra-{quote(name, safe='')}: {_value(value)}"


def _value(text: str) -> str:
    """The text as a header value. Raises StatusError 401 for a text that the other server would read differently, or as another
    header."""
    if _UNSAFE_VALUE.search(text) is not None:
        raise unauthorized()
    return text
