from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.rounds import Rounds
from tests.faults.verdict import Verdict
from tests.support.etcd import etcd_program
from tests.support.summaries import show_at_end

SEED = "tenantry"
_TOTAL = pytest.StashKey[Verdict]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts platforms goes last: everything else fails sooner."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.is_relative_to(here) and item.get_closest_marker("e2e") is not None)


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rounds]:
    etcd_program()
    with Rounds(SEED, tmp_path_factory.mktemp("rounds")) as running:
        yield running


@pytest.fixture(scope="module")
def total(pytestconfig: pytest.Config, rounds: Rounds) -> Verdict:
    """Of all rounds of this run; printed at its end."""
    return pytestconfig.stash.setdefault(_TOTAL, Verdict())


def pytest_sessionfinish(session: pytest.Session) -> None:
    if (total := session.config.stash.get(_TOTAL, None)) is not None:
        show_at_end(session.config, f"rounds of faults, seed {SEED}", total.summary())
