"""The interface of a client's connection for the parts of the server. `Connection` implements it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Protocol


class ClientConnection(Protocol):
    """One connection of a client.

    `transport`: None when it is closed. `task`: answers its requests, None while it is idle. `remote`: the address of the client.
    `client_certificate`: in DER, None if the client sent none.
    """

    transport: asyncio.Transport | None
    task: asyncio.Task[None] | None
    remote: str
    client_certificate: bytes | None
    writing_paused: bool
    """Whether the client has much left to read, so that writing should pause."""

    counted: bool
    """Whether `Connections` counts this connection."""
    proven: bool
    """Whether credentials were accepted on this connection."""
    owners: tuple[Hashable, ...]
    """The owners whose share the connection uses. Empty until credentials are accepted."""
    head_bytes: int
    """How many bytes of an incomplete request head were received."""
    head_owners: tuple[Hashable, ...]
    """The owners whose share `head_bytes` uses."""

    @property
    def busy(self) -> bool:
        """Whether a request is in progress and the server is not waiting for the client."""
        ...

    def credential(self, authorization: str) -> bytes:
        """`Request.credential` for an Authorization header."""
        ...

    def switch(self, receive: Callable[[bytes], None]) -> None:
        """Switches to another protocol, as the present request asks for: `receive` takes all bytes after it."""
        ...

    async def drained(self) -> None:
        """Waits until the client has read most of the written bytes, or the connection is closed."""
        ...

    def hold_reading(self) -> None:
        """Pauses reading until `go_on_reading`."""
        ...

    def go_on_reading(self) -> None: ...

    def close(self) -> None:
        """Closes the connection after the present answer."""
        ...

    def force_close(self) -> None:
        """Closes the connection after the written bytes are sent."""
        ...

    def cut(self) -> None:
        """Aborts the connection. Written bytes may not be sent."""
        ...
