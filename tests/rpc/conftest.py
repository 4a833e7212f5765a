from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tenantry.rpc.server import RpcLimits
from tests.rpc.echo import SERVICE, Echo
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rpc import RpcOnSocket, rpc_on_socket


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def served(echo: Echo) -> AsyncIterator[RpcOnSocket]:
    """One client may have two calls of four, and three streams of six."""
    limits = RpcLimits(calls=4, streams=6, message_bytes=64 * 1024)
    async with rpc_on_socket({SERVICE: echo.add_to}, limits=limits) as made, asyncio.timeout(PATIENCE_SECONDS):
        yield made
