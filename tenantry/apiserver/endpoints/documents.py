"""Documents that depend on the set of APIs alone: encoded once for all logical clusters that have that set, and, where the set is
large, beside the loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from tenantry.apiserver.deferred import Once
from tenantry.apiserver.request import Request
from tenantry.kube.api_set import ApiSet
from tenantry.kube.exact import exact

AT_ONCE_TYPES = 200
"""What is made of so many definitions takes less than a millisecond."""
_makers = Once()


class Document(NamedTuple):
    """`digest` is 128 hexadecimal digits of the content, upper case, as kube-apiserver's entity tags."""

    body: bytes
    digest: str


async def document(
    apis: ApiSet, key: Any, make: Callable[[], bytes], before: Callable[[], Awaitable[None]] | None = None
) -> Document:
    """The document that `make` encodes, remembered with the set. `before` is awaited before it is made."""

    def made() -> Document:
        body = exact(make())
        return Document(body, hashlib.sha512(body).hexdigest().upper())

    place = ("endpoint", key)
    if before is not None and not apis.has_document(place):
        await before()
    if len(apis.definitions) > AT_ONCE_TYPES and not apis.has_document(place):
        await _makers.run(f"{apis.number} {key}", partial(asyncio.to_thread, apis.document, place, made))
    return apis.document(place, made)


def not_modified(request: Request, digest: str) -> bool:
    """Whether If-None-Match names the content with this digest (RFC 9110 §13.1.2)."""
    given = request.header("if-none-match")
    return given == "*" or any(tag.strip().removeprefix("W/").strip('"') == digest for tag in given.split(",") if tag)
