"""A TCP proxy whose connections a test can cut, deafen and refuse."""

from __future__ import annotations

import asyncio
import contextlib


class Proxy:
    """`await start()`, then connect to `port`.

    `deaf`: what clients send is thrown away. `mute`: what the server answers is thrown away. `refusing`: new connections are
    closed at once.
    """

    def __init__(self, target_port: int) -> None:
        self.deaf = False
        self.mute = False
        self.refusing = False
        self.accepted = 0
        self.port = 0
        self._target_port = target_port
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Ends every connection with a reset."""
        for writer in self._writers:
            writer.transport.abort()

    async def stop(self) -> None:
        self._server.close()
        self.cut()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            target_reader, target_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        self._writers |= {writer, target_writer}
        for pump in (self._pump(reader, target_writer, "deaf"), self._pump(target_reader, writer, "mute")):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, closed_by: str) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if not getattr(self, closed_by):
                    writer.write(data)
                    await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)
