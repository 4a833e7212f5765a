"""A server that a hostile tenant names as its webhooks: each way of it is one webhook, for objects with the label `way`."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from benchmarks.hostile.site import Site
from tenantry.http.certificates import CertificateAuthority, pair_server_context

_LINE = b"X-More: " + b"y" * 1000 + b"\r\n"
_PIECE = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
_TINY = b"1\r\n \r\n" * 1000
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


async def _never(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def _endless(writer: asyncio.StreamWriter, begin: bytes, more: bytes) -> None:
    writer.write(begin)
    while not writer.is_closing():
        writer.write(more)
        await writer.drain()
        # The client of this process goes on, and the end of the connection is seen.
        await asyncio.sleep(0)


async def _redirects(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /redirects\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()


WAYS: dict[str, Callable[[asyncio.StreamWriter], Awaitable[None]]] = {
    "never": _never,
    "headers": lambda writer: _endless(writer, b"HTTP/1.1 200 OK\r\n", _LINE),
    "interim": lambda writer: _endless(writer, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "huge": lambda writer: _endless(writer, _HEAD, _PIECE),
    "chunks": lambda writer: _endless(writer, _HEAD, _TINY),
    "redirects": _redirects,
}


class EvilWebhooks:
    """Serves on loopback after `start`, until `stop`."""

    def __init__(self) -> None:
        self._authority = CertificateAuthority.create()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        context = pair_server_context(self._authority.issue_serving(["127.0.0.1"]))
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    def configuration(self, site: Site) -> Any:
        """A ValidatingWebhookConfiguration for the namespace of a tenant."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
        listed = [
            {
                "name": f"{way}.hostile.example.com",
                "clientConfig": {
                    "url": f"https://127.0.0.1:{port}/{way}",
                    "caBundle": base64.b64encode(self._authority.certificate).decode(),
                },
                "rules": [rule],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": site.namespace}},
                "objectSelector": {"matchLabels": {"way": way}},
                "failurePolicy": "Ignore",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 1,
            }
            for way in WAYS
        ]
        return {"metadata": {"name": "hostile"}, "webhooks": listed}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
                )
                await reader.readexactly(length)
                way = head.split(b" ")[1].decode().strip("/").partition("?")[0]
                await WAYS[way](writer)
        writer.close()
