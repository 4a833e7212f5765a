"""Kubernetes' CEL functions of URLs, which are read as Go reads them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from tenantry.kube.schema import go_url
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_functions.arguments import FunctionTable, text_of
from tenantry.kube.schema.cel_library.shared import access_to, opaque
from tenantry.kube.schema.cel_values import PER_CHARACTER, Cost, Opaque
from tenantry.kube.schema.go_url import GoURL

FUNCTIONS = FunctionTable()


def _url(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    try:
        go_url.request_uri(text)
        return Opaque("URL", go_url.reference(text))
    except ValueError as error:
        raise CelError(f"URL parse error during conversion from string: {error}") from None


def _is_url(cost: Cost, text: Any) -> bool:
    cost.charge(1)
    cost.work(len(text_of(text)) * PER_CHARACTER)
    try:
        go_url.request_uri(text)
    except ValueError:
        return False
    return True


def _query(cost: Cost, value: Any) -> dict[str, list[str]]:
    url: GoURL = opaque(value, "URL")
    cost.charge(1)
    cost.work(len(url.query) * 2 * PER_CHARACTER)
    return parse_qs(url.query, keep_blank_values=True)


FUNCTIONS["url", False] = _url
FUNCTIONS["isURL", False] = _is_url
FUNCTIONS["getScheme", True] = access_to("URL", lambda url: url.scheme)
FUNCTIONS["getHost", True] = access_to("URL", lambda url: url.host)
FUNCTIONS["getHostname", True] = access_to("URL", lambda url: url.hostname)
FUNCTIONS["getPort", True] = access_to("URL", lambda url: url.port)
FUNCTIONS["getEscapedPath", True] = access_to("URL", lambda url: url.path)
FUNCTIONS["getQuery", True] = _query
