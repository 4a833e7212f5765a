"""`/healthz`, `/readyz` and `/metrics` of the agent."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from prometheus_client import generate_latest

from tenantry.base.metrics import CONTENT_TYPE


class Probes:
    """A small HTTP server. `unready`: why the agent is not ready, or None."""

    def __init__(self, unready: Callable[[], str | None]) -> None:
        self._unready = unready
        application = web.Application()
        application.add_routes(
            [web.get("/healthz", self._healthz), web.get("/readyz", self._readyz), web.get("/metrics", self._metrics)]
        )
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self, address: str, port: int) -> int:
        """Returns the port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, address, port)
        await site.start()
        found: int = self._runner.addresses[0][1]
        return found

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _readyz(self, request: web.Request) -> web.Response:
        reason = self._unready()
        return web.Response(text=reason or "ok", status=503 if reason else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE})
