"""Kubernetes' CEL functions of URLs."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from tenantry.kube.schema import ip_and_url
from tenantry.kube.schema.cel_errors import CelError
from tenantry.kube.schema.cel_functions.arguments import text_of
from tenantry.kube.schema.cel_library.declarations import Declarations, access_to, opaque, reads
from tenantry.kube.schema.cel_values import Cost, Opaque
from tenantry.kube.schema.ip_and_url import URL

FUNCTIONS = Declarations()


def _url(cost: Cost, text: Any) -> Opaque:
    cost.text(len(text_of(text)))
    try:
        return Opaque("URL", ip_and_url.url(text))
    except ValueError as error:
        raise CelError(f"URL parse error during conversion from string: {error}") from None


def _query(cost: Cost, value: Any) -> dict[str, list[str]]:
    url: URL = opaque(value, "URL")
    cost.charge(1)
    cost.text(len(url.query), 2)
    return parse_qs(url.query, keep_blank_values=True)


FUNCTIONS.function("url", "string", "URL", _url)
FUNCTIONS.function("isURL", "string", "bool", reads(_url))
FUNCTIONS.member("getScheme", "URL", "string", access_to("URL", lambda url: url.scheme))
FUNCTIONS.member("getHost", "URL", "string", access_to("URL", lambda url: url.host))
FUNCTIONS.member("getHostname", "URL", "string", access_to("URL", lambda url: url.hostname))
FUNCTIONS.member("getPort", "URL", "string", access_to("URL", lambda url: url.port))
FUNCTIONS.member("getEscapedPath", "URL", "string", access_to("URL", lambda url: url.path))
FUNCTIONS.member("getQuery", "URL", "query", _query)
