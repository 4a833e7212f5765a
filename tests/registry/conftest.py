from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tenantry.storage.store import Store
from tests.registry.fleet import Fleet
from tests.storage.engines import ENGINES, Engine


@pytest.fixture(params=sorted(ENGINES))
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    engine = ENGINES[request.param](tmp_path)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
def store(engine: Engine) -> Store:
    return engine.store


@pytest.fixture
async def fleet(store: Store) -> AsyncIterator[Fleet]:
    fleet = Fleet(store)
    yield fleet
    await fleet.stop()
