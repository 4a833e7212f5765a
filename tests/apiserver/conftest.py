from collections.abc import AsyncIterator

import pytest_asyncio

from tests.apiserver.kit import Server, start


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    running = await start()
    yield running
    await running.scope.cell.close()
