from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

ASYNCIO = {"asyncio": asyncio.new_event_loop}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Function
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A module names the event loops that each of its tests runs on in `LOOP_FACTORIES`."""
    return getattr(item.module, "LOOP_FACTORIES", ASYNCIO)
