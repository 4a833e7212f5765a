"""A small client of a Kubernetes API: JSON over HTTP, with errors as types."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import orjson

from tenantry_sync_agent.kubeconfig import Access

Object = dict[str, Any]

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
_PAGE = 500
_LINE_BYTES_MAX = 16 << 20
"""An object has 3 MB at most, and its JSON may be longer."""


class ApiError(Exception):
    """A server refused a request. `code`: of HTTP. `reason`: of the Status, or empty if the answer was no Status."""

    def __init__(self, what: str, code: int, reason: str, message: str) -> None:
        super().__init__(f"{what}: {code} {reason} {message}")
        self.code = code
        self.reason = reason
        self.message = message


class Unreachable(Exception):
    """A request got no answer. Whether it took effect is unknown."""


class ApiClient:
    """One server. An async context manager. How many requests run at a time is up to its users.

    `timeout_seconds`: the longest time for a request that is not a watch.
    """

    def __init__(self, access: Access, *, timeout_seconds: float) -> None:
        self.server = access.server
        self._access = access
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        # Workers bound the requests, and types and URLs the watches: a limit here would let watches block requests.
        connector = aiohttp.TCPConnector(ssl=self._access.tls, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, read_bufsize=1 << 18)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, url: str, **query: str) -> Object:
        return await self._call("GET", url, query)

    async def create(self, url: str, body: Object, **query: str) -> Object:
        return await self._call("POST", url, query, body)

    async def replace(self, url: str, body: Object, **query: str) -> Object:
        return await self._call("PUT", url, query, body)

    async def patch(self, url: str, body: Any, kind: str = MERGE, **query: str) -> Object:
        return await self._call("PATCH", url, query, body, kind)

    async def delete(self, url: str, *, uid: str) -> Object:
        """Deletes the object with this uid and no other, in the background."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        return await self._call("DELETE", url, {}, body)

    async def list(self, url: str, **query: str) -> tuple[list[Object], str]:
        """All objects, page by page, and the resourceVersion to watch from."""
        found: list[Object] = []
        query["limit"] = str(_PAGE)
        while True:
            page = await self._call("GET", url, query)
            kind, version = page.get("kind", "").removesuffix("List"), page.get("apiVersion")
            for item in page.get("items") or ():
                item.setdefault("kind", kind)
                item.setdefault("apiVersion", version)
                found.append(item)
            token = page["metadata"].get("continue")
            if not token:
                return found, page["metadata"]["resourceVersion"]
            query["continue"] = token

    async def watch(self, url: str, *, silence_seconds: float, **query: str) -> AsyncGenerator[Object, None]:
        """The events of a watch until the server ends it. Raises Unreachable after `silence_seconds` without any."""
        query |= {"watch": "true", "allowWatchBookmarks": "true"}
        full = f"{url}?{urlencode(query)}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout.total, sock_read=silence_seconds)
        try:
            async with self._session.get(full, headers=self._headers(), timeout=timeout) as answer:
                if answer.status != 200:
                    raise _refusal(f"WATCH {url}", answer.status, await answer.read())
                rest = b""
                async for piece in answer.content.iter_any():
                    *lines, rest = (rest + piece).split(b"\n")
                    for line in lines:
                        yield orjson.loads(line)
                    if len(rest) > _LINE_BYTES_MAX:
                        raise Unreachable(f"WATCH {url}: an event is longer than {_LINE_BYTES_MAX} bytes")
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError) as error:
            raise Unreachable(f"WATCH {url}: {type(error).__name__}: {error}") from error

    async def _call(
        self, method: str, url: str, query: dict[str, str], body: Any = None, kind: str = "application/json"
    ) -> Object:
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = kind
        full = f"{url}?{urlencode(query)}" if query else url
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._session.request(method, full, data=data, headers=headers, timeout=self._timeout) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{method} {url}: {type(error).__name__}: {error}") from error
        if answer.status >= 300:
            raise _refusal(f"{method} {url}", answer.status, content)
        try:
            found: Object = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise Unreachable(f"{method} {url}: the answer is not JSON") from error
        return found

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "tenantry-sync"}
        token = self._access.token
        if self._access.token_file is not None:
            token = self._access.token_file.read_text().strip()
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return headers


def _refusal(what: str, code: int, content: bytes) -> ApiError:
    try:
        status = orjson.loads(content)
        if isinstance(status, dict) and status.get("kind") == "Status":
            return ApiError(what, code, status.get("reason") or "", status.get("message") or "")
    except orjson.JSONDecodeError:
        pass
    return ApiError(what, code, "", content[:200].decode(errors="replace"))
