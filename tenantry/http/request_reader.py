"""Converts the parsed head of a request to a `Request`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from itertools import count
from typing import Generic
from urllib.parse import unquote

from aiohttp.http import RawRequestMessage

from tenantry.http.exchange import Exchange
from tenantry.http.messages import RequestT

_LONGEST_AUDIT_ID = 128


class RequestReader(Generic[RequestT]):
    """Creates requests of the class `make`. A request without a usable id gets a new one."""

    def __init__(self, make: type[RequestT]) -> None:
        self._make = make
        self._id_prefix = str(uuid.uuid4())[:24]
        self._ids = count(1)

    def read(self, exchange: Exchange) -> RequestT:
        """The request of an exchange."""
        message = exchange.message
        target = _unicode(message.path)
        if target[:1] != "/":
            target = origin_form(target)
        path, _, query = target.partition("?")
        if "%" in path:
            path = unquote(path)
        connection = exchange.connection
        headers: Mapping[str, str] = message.headers
        if not all(map(str.isascii, headers.values())):
            clean = message.headers.copy()
            clean.clear()
            clean.extend((name, _unicode(value)) for name, value in headers.items())
            headers = clean
        request = self._make(
            message.method,
            path,
            query,
            headers,
            exchange.read_body,
            connection.client_certificate,
            connection.remote,
            _usable(headers.get("audit-id")) or f"{self._id_prefix}{next(self._ids):012x}",
            known_credential=connection.credential(headers.get("authorization", "")),
        )
        if message.upgrade and headers.get("upgrade", "").lower() == "websocket" and message.method == "GET":
            request.websocket = True
            request.prepare_websocket()
        return request


def is_no_operation(message: RawRequestMessage) -> bool:
    """Whether the request is `OPTIONS *`, which asks only for an answer (RFC 9110 §9.3.7)."""
    return message.path == "*" and message.method == "OPTIONS"


def origin_form(target: str) -> str:
    """The path and query of a target in the absolute form, which proxies send (RFC 9112 §3.2.2). Unlike `urllib.parse.urlsplit`,
    it does not cache its argument."""
    scheme, absolute, rest = target.partition("://")
    if not absolute or not scheme.isalnum():
        return target
    start = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
    rest = rest[start:].partition("#")[0]
    return rest if rest.startswith("/") else f"/{rest}"


def _unicode(text: str) -> str:
    """A text from aiohttp, with U+FFFD for bytes that are not UTF-8. aiohttp decodes them to surrogates, which cannot be
    encoded."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _usable(audit_id: str | None) -> str:
    """A client's own request id if it is usable in a log (ASCII, not too long), else an empty text."""
    return audit_id if audit_id and len(audit_id) <= _LONGEST_AUDIT_ID and audit_id.isascii() else ""
