"""What the parts of the server see of a client's connection, which `Connection` is."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Protocol


class ClientConnection(Protocol):
    """One connection. `transport` is None once it is closed; `task` answers its requests, None while it is idle.

    `client_certificate`: in DER, None where the client showed none. `remote`: the client's address.
    """

    transport: asyncio.Transport | None
    task: asyncio.Task[None] | None
    remote: str
    client_certificate: bytes | None
    writing_paused: bool
    """The client has much left to read."""

    counted: bool
    """It is one of those that `Connections` counts."""
    proven: bool
    """Its caller's credentials were accepted."""
    owners: tuple[Hashable, ...]
    """Who it counts for; empty until that is proven."""
    head_bytes: int
    """What came of a request's head that is not whole yet."""
    head_owners: tuple[Hashable, ...]
    """Who these bytes count for."""

    @property
    def busy(self) -> bool:
        """A request is carried out, and it is not the client who is waited for."""
        ...

    def credential(self, authorization: str) -> bytes:
        """`Request.credential` of an Authorization header."""
        ...

    async def drained(self) -> None:
        """Waits until the client has read most of what was written, or is gone."""
        ...

    def hold_reading(self) -> None:
        """Nothing is read until `go_on_reading`."""
        ...

    def go_on_reading(self) -> None: ...

    def close(self) -> None:
        """Ends the connection, after the answer that is under way."""
        ...

    def force_close(self) -> None:
        """Ends the connection; what was written is sent."""
        ...

    def cut(self) -> None:
        """Ends the connection now."""
        ...
