from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tenantry.storage.store import Store
from tests.registry.fleet import Fleet


@pytest.fixture
async def fleet(store: Store) -> AsyncIterator[Fleet]:
    fleet = Fleet(store)
    yield fleet
    await fleet.stop()
