"""The definitions of two projects, with sample objects: every answer is what kube-apiserver answered. `make clients` does that
with all projects."""

from __future__ import annotations

import pytest

from tests.clients.published_reference import differences, recorded, sender
from tests.support.api import Api
from tests.support.forms import Platform
from tests.support.tools import program


@pytest.mark.client
@pytest.mark.parametrize("module", ["github.com/cert-manager/cert-manager", "sigs.k8s.io/gateway-api"])
def test_all_answers_are_those_of_kubernetes(server: Platform, place: Api, module: str) -> None:
    program("go", "it fetches the modules")
    kept = recorded(module)
    found = differences(sender(place.url, server.ca, server.token()), module, lambda one: kept[one.name])
    assert not found, "\n".join([f"{len(found)} differ", *found[:5]])
