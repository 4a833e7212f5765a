import asyncio
from collections.abc import Callable, Mapping

import pytest


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A module may name the event loops to run its tests on."""
    return getattr(getattr(item, "module", None), "LOOPS", {"asyncio": asyncio.new_event_loop})
