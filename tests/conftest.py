"""For every test."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
from xdist.workermanage import WorkerController

from tenantry.storage.store import Store
from tests.support import explored, informers, logs, summaries
from tests.support.failures import Failures
from tests.support.forms import FORMS
from tests.support.lookups import GatewayLookups, gateway_lookups
from tests.support.patience import PATIENCE_SECONDS
from tests.support.stores import ENGINES, Engine
from tests.support.workers import Scheduling, turn

explored.register_profiles()


@pytest.fixture(params=sorted(ENGINES))
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    """Each of them in turn."""
    engine = ENGINES[request.param](tmp_path)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
def store(engine: Engine) -> Store:
    return engine.store


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayLookups]:
    async with gateway_lookups() as made, asyncio.timeout(PATIENCE_SECONDS):
        yield made


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--form",
        choices=(*FORMS, "all"),
        default="all",
        help="what end-to-end tests run on: one process on SQLite, processes of their own on etcd, these with processes of "
        "views (tests of views alone), or all",
    )
    parser.addoption(
        "--every-minor",
        action="store_true",
        help="all minors of kubectl that are here do what is marked `every_minor`; `make clients`",
    )
    parser.addoption(
        "--explore-until",
        type=float,
        help="this is a search for new examples, which ends then (seconds of the epoch); `make explore`",
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(logs.Logs())
    config.pluginmanager.register(explored.Explored(config.getoption("--explore-until")))
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Failures(reporter))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Around everything, so that no test's own time is spent on waiting for others."""
    with turn(item.config.rootpath / "pyproject.toml", of=item.nodeid):
        return (yield)


def pytest_collection_finish() -> None:
    """Thousands of tests and what they import stay until the end: without this, each full collection looks at all of it again."""
    gc.collect()
    gc.freeze()


def pytest_testnodedown(node: WorkerController) -> None:
    summaries.collect(node.config, getattr(node, "workeroutput", None))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    summaries.show(terminalreporter)


@pytest.fixture(scope="session")
def informers_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """client-go's informers, for `tests.support.informers`."""
    return informers.built("informers", tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="session")
def controller_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manager of controller-runtime, for `tests.support.informers`."""
    return informers.built("controller", tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="session")
def webhooks_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The webhook server of controller-runtime, for `tests/e2e/test_webhooks.py`."""
    return informers.built("webhooks", tmp_path_factory.mktemp("go"))


@pytest.fixture(scope="session")
def clientsets_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """client-go's clientsets, for `tests/e2e/test_go_clientsets.py`."""
    return informers.built("clientsets", tmp_path_factory.mktemp("go"))
