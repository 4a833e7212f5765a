from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tenantry.storage.store import Store
from tests.support.shards import FleetInMemory


@pytest.fixture
async def fleet(store: Store) -> AsyncIterator[FleetInMemory]:
    fleet = FleetInMemory(store)
    yield fleet
    await fleet.stop()
