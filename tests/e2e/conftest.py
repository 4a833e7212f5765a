from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.client import Api
from tests.e2e.people import Person, everybody, token_file
from tools.server import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here starts real processes."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.e2e)


def admin_of(server: Server) -> Api:
    """A server as system:masters, without a cluster in the URL."""
    return Api(server.url, server.ca, server.token())


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token file that holds the people."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.csv"
    path.write_text(token_file())
    return path


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, tokens: Path) -> Iterator[Server]:
    """The server of all tests that keep to a workspace of their own."""
    with Server(tmp_path_factory.mktemp("shared") / "tenantry", "--token-auth-file", str(tokens)) as running:
        yield running


@pytest.fixture(scope="session")
def admin(server: Server) -> Api:
    """The shared server as system:masters, without a cluster in the URL."""
    return admin_of(server)


@pytest.fixture(scope="session")
def root(admin: Api) -> Api:
    return admin.cluster("root")


_numbers = count(1)


@pytest.fixture
def unique() -> Callable[[str], str]:
    """A name that no other test has."""
    return lambda stem: f"{stem}-{next(_numbers)}"


@pytest.fixture
def place(root: Api, unique: Callable[[str], str]) -> Api:
    """A workspace of this test, as system:masters."""
    return root.workspace(unique("place"))


@pytest.fixture(scope="session")
def _people() -> Iterator[Person]:
    return iter(everybody())


@pytest.fixture
def person(_people: Iterator[Person]) -> Callable[[], Person]:
    """Users that this test alone knows."""
    return lambda: next(_people)


@pytest.fixture
def many_ranges(tmp_path: Path, tokens: Path) -> Iterator[Server]:
    """Two shards, and a new range after each five tenants."""
    with Server(tmp_path / "tenantry", "--shards", "2", "--range-capacity", "5", "--token-auth-file", str(tokens)) as running:
        yield running
