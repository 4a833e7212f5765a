"""CustomResourceDefinitions and sample objects of 26 projects: every answer is that of kube-apiserver. `make clients`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.hostile import kube_apiserver
from tests.clients.published import MODULES, Published
from tests.clients.published_answers import Send, answers_of, remove
from tests.clients.published_reference import differences, recorded, reference, sender
from tests.support.forms import ONE_PROCESS, Platform, platform
from tests.support.tools import program


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(ONE_PROCESS, tmp_path_factory.mktemp("published")) as running:
        yield running


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Send | None]:
    """A kube-apiserver, where this machine has one."""
    if not kube_apiserver.is_built():
        yield None
        return
    with reference(tmp_path_factory.mktemp("reference")) as send:
        yield send


@pytest.mark.parametrize("module", MODULES)
def test_all_answers_are_those_of_kubernetes(server: Platform, living: Send | None, module: str) -> None:
    program("go", "it fetches the modules")
    place = server.root.workspace(module.replace("/", "-").replace(".", "-"))
    send = sender(place.url, server.ca, server.token())
    if living is None:
        kept = recorded(module)
        found = differences(send, module, lambda one: kept[one.name])
    else:

        def ask(one: Published) -> dict[str, Any]:
            answers = dict(answers_of(living, one))
            remove(living, one)
            return answers

        found = differences(send, module, ask)
    assert not found, "\n".join([f"{len(found)} differ", *found[:5]])
