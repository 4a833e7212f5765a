from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.pace import session_ttl


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts real processes."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="module")
def platform() -> Iterator[Fleet]:
    """Three shards, two registries and two gateways; ranges of two tenants, so that a few workspaces spread."""
    flags = {"registry": ("--range-capacity", "2"), "shard": session_ttl(10.0)}
    with Fleet(registries=2, gateways=2, shards=3, flags=flags) as fleet:
        yield fleet
