"""What a request asks for, from its method, path and query only (the rules of kube-apiserver's RequestInfoFactory)."""

from __future__ import annotations

from typing import NamedTuple

from tenantry.apiserver.request import Request
from tenantry.kube import status
from tenantry.kube.selectors import fields

_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_FALSE = frozenset({"false", "0"})


class RequestInfo(NamedTuple):
    """A parsed request.

    `verb` is the API verb (get, list, watch, create, update, patch, delete, deletecollection) for a resource; empty where the
    method has none. For other paths it is the lower-case HTTP method. `parts` is the path from the resource on: (resource, name,
    subresource, …). For a list of one name by field selector, `name` is set although `parts` has no name, so that resourceNames
    of RBAC apply. `in_namespace`: the path is below `/namespaces/<namespace>/`. For `/namespaces/<name>` itself `namespace` is
    set, but `in_namespace` is false. `identity` is the hash in a wildcard request for `resource:hash` (kcp); `resource` is
    without it.
    """

    is_resource: bool
    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    identity: str = ""
    parts: tuple[str, ...] = ()
    in_namespace: bool = False


def parse(method: str, path: str, request: Request) -> RequestInfo:
    """The request information of `path`, which is relative to the scope (`/api/v1/…`). Only the query is read from `request`.

    Raises StatusError for a path that cannot be understood.
    """
    segments = path.strip("/").split("/")
    count = len(segments)
    first = segments[0]
    if first == "api":
        if count < 3:
            return RequestInfo(False, method.lower(), path)
        group, version, start = "", segments[1], 2
    elif first == "apis":
        if count < 4:
            return RequestInfo(False, method.lower(), path)
        group, version, start = segments[1], segments[2], 3
    else:
        return RequestInfo(False, method.lower(), path)

    verb = _VERBS.get(method, "")
    prefixed_watch = segments[start] == "watch"
    if prefixed_watch:
        start += 1
        verb = "watch"
        if count == start:
            raise status.internal(f"unable to determine kind and namespace from url, {path}")

    namespace, in_namespace = "", False
    if segments[start] == "namespaces" and count > start + 1:
        namespace = segments[start + 1]
        if count > start + 2 and segments[start + 2] not in _NAMESPACE_SUBRESOURCES:
            start += 2
            in_namespace = True
    parts = tuple(segments[start:])
    resource = parts[0]
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 and not prefixed_watch else ""

    if not name:
        if verb == "get":
            verb, name = _list_or_watch(request)
        elif verb == "delete":
            verb = "deletecollection"

    identity = ""
    if ":" in resource:
        resource, _, identity = resource.partition(":")
        if not identity:
            raise status.internal(f"the identity of resource {resource!r} is empty")
    return RequestInfo(True, verb, path, group, version, resource, subresource, namespace, name, identity, parts, in_namespace)


def is_true(values: list[str] | None) -> bool:
    """A boolean query parameter. Everything except `false` and `0` is true, also the empty text (kube-apiserver's conversion)."""
    return bool(values and values[0].lower() not in _FALSE)


def _list_or_watch(request: Request) -> tuple[str, str]:
    if not request.raw_query:
        return "list", ""
    query = request.query
    verb = "watch" if is_true(query.get("watch")) else "list"
    selector = query.get("fieldSelector")
    if not selector or "metadata.name" not in selector[0]:
        return verb, ""
    try:
        name = fields.parse(selector[0]).required_value("metadata.name") or ""
    except ValueError:
        return verb, ""
    return verb, "" if name in (".", "..") or "/" in name or "%" in name else name
