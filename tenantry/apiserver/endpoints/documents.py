"""Documents that depend on the set of APIs alone: encoded once for all logical clusters that have that set."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple

from tenantry.apiserver.http import Request
from tenantry.kube.api_set import ApiSet
from tenantry.kube.exact import exact


class Document(NamedTuple):
    """`digest` is 128 hexadecimal digits of the content, upper case, as kube-apiserver's entity tags."""

    body: bytes
    digest: str


def document(apis: ApiSet, key: Any, make: Callable[[], bytes]) -> Document:
    """The document that `make` encodes, remembered with the set."""

    def made() -> Document:
        body = exact(make())
        return Document(body, hashlib.sha512(body).hexdigest().upper())

    return apis.document(("endpoint", key), made)


def not_modified(request: Request, digest: str) -> bool:
    """Whether If-None-Match names the content with this digest (RFC 9110 §13.1.2)."""
    given = request.header("if-none-match")
    return given == "*" or any(tag.strip().removeprefix("W/").strip('"') == digest for tag in given.split(",") if tag)
