"""Validates how a webhook is reached: `clientConfig` (k8s.io/apiserver/pkg/util/webhook/validation.go)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from tenantry.kube.field_errors import invalid, required, while_few
from tenantry.kube.go_text import quote
from tenantry.kube.names import dns1123_subdomain_errors
from tenantry.kube.objects import Object
from tenantry.kube.status import FieldError

_FORM = "; desired format: https://host[/path]"
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})(.{0,2})", re.S)
_PORT = re.compile(r":[0-9]*")


class WebhookUrl(NamedTuple):
    """The parts of a URL, as Go's net/url splits it. `host` has its port."""

    scheme: str
    host: str
    user: str | None
    path: str
    query: str
    fragment: str


def parse_url(text: str) -> WebhookUrl:
    """Raises ValueError with Go's text."""
    if _CONTROL.search(text):
        raise ValueError(f"parse {quote(text)}: net/url: invalid control character in URL")
    rest, _, fragment = text.partition("#")
    if rest.startswith(":"):
        raise ValueError(f"parse {quote(text)}: missing protocol scheme")
    found = _SCHEME.match(rest)
    scheme = found[1].lower() if found is not None else ""
    rest = rest[found.end() :] if found is not None else rest
    rest, _, query = rest.partition("?")
    if found is None and not rest.startswith("/") and ":" in rest.partition("/")[0]:
        raise ValueError(f"parse {quote(text)}: first path segment in URL cannot contain colon")
    host, user = "", None
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        user, at, host = authority.rpartition("@")
        user = user if at else None
        rest = slash + path
        _check_host(text, host)
    if (bad := _ESCAPE.search(rest)) is not None:
        raise ValueError(f"parse {quote(text)}: invalid URL escape {quote('%' + bad[1])}")
    return WebhookUrl(scheme, host, user, rest, query, fragment)


def _check_host(text: str, host: str) -> None:
    if host.startswith("["):
        end = host.rfind("]")
        if end < 0:
            raise ValueError(f"parse {quote(text)}: missing ']' in host")
        port = host[end + 1 :]
    else:
        port = host[host.rindex(":") :] if ":" in host else ""
    if port and _PORT.fullmatch(port) is None:
        raise ValueError(f"parse {quote(text)}: invalid port {quote(port)} after host")
    for character in host:
        if character in ' "<>\\^`{|}':
            raise ValueError(f"parse {quote(text)}: invalid character {quote(character)} in host name")


def client_errors(config: Object, path: str) -> list[FieldError]:
    """The errors of a clientConfig."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    return _url_errors(url, f"{path}.url") if url is not None else _service_errors(service or {}, f"{path}.service")


def _url_errors(text: str, path: str) -> list[FieldError]:
    try:
        url = parse_url(text)
    except ValueError as error:
        return [required(path, f"url must be a valid URL: {error}{_FORM}")]
    errors = []
    if url.scheme != "https":
        errors.append(invalid(path, url.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    if not url.host:
        errors.append(invalid(path, url.host, f"host must be specified{_FORM}"))
    if url.user is not None:
        errors.append(invalid(path, url.user, "user information is not permitted in the URL"))
    if url.fragment:
        errors.append(invalid(path, url.fragment, "fragments are not permitted in the URL"))
    if url.query:
        errors.append(invalid(path, url.query, "query parameters are not permitted in the URL"))
    return errors


def _service_errors(service: Object, path: str) -> list[FieldError]:
    # Upstream passes the two in the wrong order: each missing one is reported as the other.
    other = {"namespace": "name", "name": "namespace"}
    errors = [required(f"{path}.{field}") for name, field in other.items() if not service.get(name)]
    port: Any = service.get("port")
    port = 443 if port is None else port
    if not 1 <= port <= 65535:
        errors.append(invalid(f"{path}.port", port, "port is not valid: must be between 1 and 65535, inclusive"))
    given = service.get("path")
    return errors + (_path_errors(given, f"{path}.path") if given is not None else [])


def _path_errors(given: str, path: str) -> list[FieldError]:
    if given in ("", "/"):
        return []
    if given == "//":
        return [invalid(path, given, "segment[0] may not be empty")]
    errors = [] if given.startswith("/") else [invalid(path, given, "must start with a '/'")]
    for index, step in while_few(errors, enumerate(given[1:].removesuffix("/").split("/"))):
        if not step:
            errors.append(invalid(path, given, f"segment[{index}] may not be empty"))
            continue
        errors += [invalid(path, given, f"segment[{index}]: {text}") for text in dns1123_subdomain_errors(step)]
    return errors
