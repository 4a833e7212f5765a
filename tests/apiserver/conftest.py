import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import pytest_asyncio

from tests.apiserver.kit import Server, start


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A module may name the event loops to run its tests on."""
    return getattr(getattr(item, "module", None), "LOOPS", {"asyncio": asyncio.new_event_loop})


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    running = await start()
    yield running
    await running.scope.cell.close()
