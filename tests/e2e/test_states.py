"""Random writes by several clients: no failure of the server, watches that come to what lists show, and the same state after a
restart.

The dice are the same in every run. `TENANTRY_STATE_ROUNDS`, `TENANTRY_STATE_REQUESTS` and `TENANTRY_STATE_SEED` throw more
of them, or others.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.e2e.state_rounds import Arena, collections, custom_collections
from tests.e2e.test_fuzz import checked
from tests.e2e.test_workloads import BINDING
from tests.support.api import API_BINDINGS
from tests.support.forms import OneProcess, platform
from tests.support.waiting import wait_for

ROUNDS = int(os.environ.get("TENANTRY_STATE_ROUNDS", "2"))
REQUESTS = int(os.environ.get("TENANTRY_STATE_REQUESTS", "300"))
"""Of a round."""
SEED = os.environ.get("TENANTRY_STATE_SEED", "1")
MEMORY_MIB_MAX = 600
WRONG = ("request failed", "stream failed", "callback failed", "background task", "Traceback")
"""What a log says when something failed that nobody meant to."""


@pytest.mark.one_process("it is started again, and its memory is looked at")
def test_the_same_state_in_every_way(form: str, tmp_path: Path) -> None:
    with platform(form, tmp_path) as running:
        assert isinstance(running, OneProcess)
        place = running.root.workspace("states")
        place.create(API_BINDINGS, BINDING)
        wait_for(lambda: place.status_of("GET", "/apis/apps/v1/deployments") == 200, "the types are served")
        arena = Arena(place, [*collections(), *custom_collections(place, random.Random(SEED))], checked)
        for number in range(ROUNDS):
            arena.round(f"{SEED}-{number}", clients=3, requests=REQUESTS, follow=12)
            memory = running.server.memory_bytes() >> 20
            print(f"round {number}: {arena.codes} {arena.events} events {memory} MiB", flush=True)
            assert memory < MEMORY_MIB_MAX, f"{memory} MiB after {number + 1} rounds"
            if number % 2 == 0:
                before = arena.settled()
                (running.kill if number % 4 else running.stop)()
                running.start()
                place.hang_up()
                assert arena.settled() == before
            text = running.server.log.read_text()
            for wrong in WRONG:
                assert wrong not in text, text[max(0, text.index(wrong) - 300) :][:3000]
        assert {200, 201, 400, 404, 409, 422} <= {*arena.codes}, "it is no fuzzing where all is refused at the door"
