"""Links between real processes that a test cuts: TCP proxies that run beside the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.support.proxy import Proxy

T = TypeVar("T")


class Background:
    """An event loop in a thread, for tests that are not asynchronous themselves."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="background", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 30.0) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Link:
    """The way of one process to a port of this machine. `port` is where the process connects."""

    def __init__(self, background: Background, target_port: int) -> None:
        self._background = background
        self._proxy = Proxy(target_port)
        background.run(self._proxy.start())
        self.port = self._proxy.port

    def cut(self) -> None:
        """Nothing goes through any more in either direction, and nobody is told: as when a cable is pulled."""
        self._background.run(self._set(True))

    def heal(self) -> None:
        """New connections go through. Old ones are reset: what they lost cannot be brought back."""
        self._background.run(self._set(False))

    def stop(self) -> None:
        self._background.run(self._proxy.stop())

    async def _set(self, cut: bool) -> None:
        self._proxy.deaf = self._proxy.mute = cut
        self._proxy.refusing = cut
        if not cut:
            self._proxy.cut()
