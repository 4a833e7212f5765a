from collections.abc import AsyncIterator

import pytest_asyncio

from tests.apiserver.range_server import RangeServer, start


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RangeServer]:
    running = await start()
    yield running
    await running.scope.cell.close()
