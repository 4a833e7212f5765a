"""CustomResourceDefinitions whose versions a webhook converts, with real processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.conversion import Player, play
from tests.clients.conversion_reference import differences, recorded
from tests.support.api import Api
from tests.support.webhooks import WebhookServer


@pytest.fixture
def hooks() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        yield server


def test_answers_are_those_of_kubernetes(place: Api, hooks: WebhookServer) -> None:
    player = Player(place, hooks)
    play(player)
    assert player.answers.keys() == recorded().keys()
    assert not list(differences(player.answers))
