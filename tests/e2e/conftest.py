from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.e2e.people import Person, everybody, token_file
from tests.support import kopf
from tests.support.api import Api
from tests.support.forms import FORMS, ONE_PROCESS, VIEWS_APART, Platform, platform
from tests.support.tools import kubectls


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything here starts real processes."""
    here = Path(__file__).parent
    wrong: list[pytest.Item] = []
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.e2e)
            if (item.get_closest_marker("one_process") and ONE_PROCESS not in chosen(config)) or between_minors(item):
                wrong.append(item)
    if wrong:
        config.hook.pytest_deselected(items=wrong)
        items[:] = [item for item in items if item not in wrong]


def between_minors(item: pytest.Item) -> bool:
    """Of the minors of kubectl the newest does everything. The oldest, and one between them, do on one process what is marked
    `every_minor`: a gateway passes bytes on, whichever minor sent them. With `--every-minor` all of them do."""
    given = getattr(item, "callspec", None)
    if given is None or given.params.get("kubectl") not in (older := kubectls()[:-1]):
        return False
    looked_at = older if item.config.getoption("--every-minor") else (older[0], older[len(older) // 2])
    return (
        given.params["form"] != ONE_PROCESS
        or given.params["kubectl"] not in looked_at
        or item.get_closest_marker("every_minor") is None
    )


def chosen(config: pytest.Config) -> tuple[str, ...]:
    form: str = config.getoption("--form")
    return FORMS if form == "all" else (form,)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for a platform gets one of each form; those marked `one_process` tell why there is one of theirs.
    Views are in processes of their own for the tests of views alone."""
    if "form" in metafunc.fixturenames:
        alone = metafunc.definition.get_closest_marker("one_process")
        forms = (ONE_PROCESS,) if alone else chosen(metafunc.config)
        if metafunc.definition.get_closest_marker("views") is None:
            forms = tuple(form for form in forms if form != VIEWS_APART)
        metafunc.parametrize("form", forms, scope="session")


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A token file that holds the people."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.csv"
    path.write_text(token_file())
    return path


@pytest.fixture(scope="session")
def server(form: str, tmp_path_factory: pytest.TempPathFactory, tokens: Path) -> Iterator[Platform]:
    """The platform of all tests that keep to a workspace of their own."""
    with platform(form, tmp_path_factory.mktemp("shared"), token_file=tokens) as running:
        yield running


@pytest.fixture(scope="session")
def admin(server: Platform) -> Api:
    """The shared platform as system:masters, without a cluster in the URL."""
    return server.masters


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
def many_ranges(form: str, tmp_path: Path, tokens: Path) -> Iterator[Platform]:
    """Two shards or more, and a new range after each five tenants."""
    with platform(form, tmp_path, shards=2, range_capacity=5, token_file=tokens) as running:
        yield running


@pytest.fixture(scope="session")
def kopf_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kopf.installed(tmp_path_factory.mktemp("kopf"))
