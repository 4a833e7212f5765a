"""Watches by WebSocket, as browsers open them: through gateways, in workspaces and in views."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.e2e.provider import ALL_COWBOYS, COWBOYS, Provider, schema
from tests.support.api import CONFIG_MAPS, Api, config_map
from tests.support.patience import PATIENCE_SECONDS

PROTOBUF = "application/vnd.kubernetes.protobuf"


@asynccontextmanager
async def opened(api: Api, path: str, query: str, **headers: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket without a token but what `headers` bring."""
    tls = ssl.create_default_context(cafile=None, cadata=None)
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    protocols = headers.pop("protocols", "").split()
    async with asyncio.timeout(3 * PATIENCE_SECONDS), aiohttp.ClientSession() as session:
        url = f"{api.url}{path}?watch=true&{query}"
        async with session.ws_connect(
            url, ssl=tls, origin="https://ui.example", headers=headers, protocols=protocols, max_msg_size=0
        ) as socket:
            yield socket


def bearer(token: str) -> str:
    return "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


async def events(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[tuple[str, str]]:
    found = []
    for _ in range(count):
        event = json.loads(await socket.receive_str(timeout=PATIENCE_SECONDS))
        found.append((event["type"], event["object"]["metadata"]["name"]))
    return found


async def test_the_life_of_an_object_until_the_watch_ends(root: Api, unique: Callable[[str], str]) -> None:
    team = await asyncio.to_thread(root.workspace, unique("team"))
    authorization = f"Bearer {team.token}"
    query = "timeoutSeconds=3&fieldSelector=metadata.name=x"
    async with opened(team, CONFIG_MAPS, query, Authorization=authorization) as socket:
        await asyncio.to_thread(team.create, CONFIG_MAPS, config_map("x", {"v": "y" * 300_000}))
        await asyncio.to_thread(team.patch, f"{CONFIG_MAPS}/x", {"data": {"v": "2"}})
        await asyncio.to_thread(team.delete, f"{CONFIG_MAPS}/x")
        assert await events(socket, 3) == [("ADDED", "x"), ("MODIFIED", "x"), ("DELETED", "x")]
        await socket.ping(b"?")
        last = await socket.receive(timeout=PATIENCE_SECONDS)
        assert last.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)
        assert socket.close_code == 1000


async def test_a_token_in_a_subprotocol(root: Api, unique: Callable[[str], str]) -> None:
    team = await asyncio.to_thread(root.workspace, unique("team"))
    await asyncio.to_thread(team.create, CONFIG_MAPS, config_map("x"))
    query = "fieldSelector=metadata.name=x"
    async with opened(team, CONFIG_MAPS, query, protocols=f"{bearer(team.token)} v1.example") as socket:
        assert socket.protocol == "v1.example"
        assert await events(socket, 1) == [("ADDED", "x")]
    for protocols, status in ((f"{bearer('none')} v1.example", 401), (bearer(team.token), 401), ("v1.example", 403)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with opened(team, CONFIG_MAPS, query, protocols=protocols):
                pass
        assert refused.value.status == status


async def test_protobuf_comes_in_binary_messages(root: Api, unique: Callable[[str], str]) -> None:
    team = await asyncio.to_thread(root.workspace, unique("team"))
    for made in ("x", "y"):
        await asyncio.to_thread(team.create, CONFIG_MAPS, config_map(made, {"v": "z" * 100}, labels={"mine": "y"}))
    async with opened(team, CONFIG_MAPS, "labelSelector=mine", Authorization=f"Bearer {team.token}", Accept=PROTOBUF) as socket:
        for name in (b"x", b"y"):
            message = await socket.receive_bytes(timeout=PATIENCE_SECONDS)
            # A metav1.WatchEvent: its type, and the object, which begins with the magic of a body.
            assert message.startswith(b"\x0a\x05ADDED\x12") and b"k8s\x00" in message[:20]
            assert b"\x0a\x01" + name in message


@pytest.mark.views
async def test_in_a_view(root: Api, unique: Callable[[str], str]) -> None:
    provider = await asyncio.to_thread(Provider.install, root.workspace(unique("provider")), schema())
    consumer = await asyncio.to_thread(provider.bind, root.workspace(unique("consumer")))
    view = await asyncio.to_thread(provider.view)
    cowboy = {"apiVersion": "example.com/v1", "kind": "Cowboy", "metadata": {"name": "woody"}}
    async with opened(view, ALL_COWBOYS, "", Authorization=f"Bearer {view.token}") as socket:
        await asyncio.to_thread(consumer.create, COWBOYS, cowboy)
        assert await events(socket, 1) == [("ADDED", "woody")]
