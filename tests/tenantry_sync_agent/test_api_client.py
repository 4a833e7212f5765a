"""Lists of objects of any size, and credentials that are not there for a moment."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tenantry_sync_agent import api_client
from tenantry_sync_agent.api_client import ApiClient, TooMuch, Unreachable
from tenantry_sync_agent.discovery import discover, groups_of
from tenantry_sync_agent.kubeconfig import Access

BYTES = 1000


class Objects:
    """A server with `count` objects. `slow`: an answer with more than so many does not come in time."""

    def __init__(self, count: int, *, slow: int = 1000) -> None:
        self.count, self.slow = count, slow
        self.pages: list[int] = []

    async def list(self, request: web.Request) -> web.Response:
        first, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
        last = min(first + limit, self.count)
        self.pages.append(last - first)
        if last - first > self.slow:
            await asyncio.Event().wait()
        items = [{"metadata": {"name": str(number)}, "data": "x" * BYTES} for number in range(first, last)]
        metadata = {"resourceVersion": "7", **({"continue": str(last)} if last < self.count else {})}
        return web.json_response({"kind": "ThingList", "apiVersion": "v1", "metadata": metadata, "items": items})


@asynccontextmanager
async def serving(objects: Objects, token_file: Path | None = None) -> AsyncIterator[tuple[ApiClient, str]]:
    app = web.Application()
    app.router.add_get("/things", objects.list)
    async with TestServer(app) as server:
        base = str(server.make_url("")).rstrip("/")
        access = Access(base, ssl.create_default_context(), "", token_file)
        async with ApiClient(access, timeout_seconds=0.5) as client:
            yield client, f"{base}/things"


async def test_pages_that_are_too_long_are_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "ANSWER_BYTES_MAX", 30 * BYTES)
    objects = Objects(100)
    async with serving(objects) as (client, url):
        found, version = await client.list(url)
    assert [item["metadata"]["name"] for item in found] == [str(number) for number in range(100)]
    assert version == "7" and len(objects.pages) < 20


async def test_pages_that_take_too_long_are_made_smaller() -> None:
    async with serving(Objects(60, slow=25)) as (client, url):
        assert len((await client.list(url))[0]) == 60


async def test_an_object_that_is_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "ANSWER_BYTES_MAX", BYTES)
    async with serving(Objects(3)) as (client, url):
        with pytest.raises(TooMuch):
            await client.list(url)


async def test_a_token_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    async with serving(Objects(1), tmp_path / "token") as (client, url):
        with pytest.raises(Unreachable, match="token"):
            await client.get(url, limit="1")
        (tmp_path / "token").write_text("t")
        assert (await client.get(url, limit="1"))["kind"] == "ThingList"


async def test_groups_that_do_not_matter_are_not_asked_for() -> None:
    """One of them may be served by another server, which is down."""
    served = ("apps", "metrics.k8s.io")

    async def groups(request: web.Request) -> web.Response:
        return web.json_response({"groups": [{"name": name, "versions": [{"version": "v1"}]} for name in served]})

    async def group(request: web.Request) -> web.Response:
        if request.path.startswith("/apis/metrics.k8s.io"):
            return web.Response(status=503)
        name = "deployments" if "apps" in request.path else "configmaps"
        entry = {"name": name, "kind": "X", "namespaced": True, "verbs": ["get"]}
        return web.json_response({"resources": [entry]})

    app = web.Application()
    app.router.add_get("/apis", groups)
    app.router.add_get("/api/v1", group)
    app.router.add_get("/apis/{name}/v1", group)
    async with TestServer(app) as server:
        base = str(server.make_url("")).rstrip("/")
        access = Access(base, ssl.create_default_context(), "", None)
        async with ApiClient(access, timeout_seconds=5) as client:
            found = await discover(client, base, groups=groups_of(["deployments.apps"]))
    assert set(found) == {("", "configmaps"), ("apps", "deployments")}
