"""Operators move ranges between the shards of one `tenantry start`, while clients go on."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import CONFIG_MAPS, Api, config_map
from tests.support.commands import tenantry
from tests.support.waiting import wait_for
from tools.server import Server
from tools.spawning import forked

pytestmark = pytest.mark.e2e
TURNS = 3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "tenantry", "--shards", "2", "--range-capacity", "2", spawn=forked) as server:
        yield server


def test_ranges_that_change_hands_answer_or_ask_to_wait(server: Server) -> None:
    where = ("--root-directory", str(server.root))
    root = Api(server.url, server.ca, server.token()).cluster("root")
    tenants = [root, *(root.workspace(f"tenant-{n}") for n in range(3))]
    answers: Counter[int] = Counter()
    done = threading.Event()

    def read(tenant: Api) -> None:
        while not done.is_set():
            answers[tenant.status_of("GET", CONFIG_MAPS)] += 1

    readers = [threading.Thread(target=read, args=(tenant,)) for tenant in tenants]
    for reader in readers:
        reader.start()
    try:
        for _ in range(TURNS):
            for name in ("shard-1", "shard-2"):
                assert tenantry("drain", name, *where).printed == f"shard {name} owns no range\n"
                assert tenantry("undrain", name, *where).printed == f"shard {name} gets ranges again\n"
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert set(answers) <= {200, 503} and answers[200] > 0, answers
    log = server.log.read_text()
    assert "Traceback" not in log, log[-4000:]
    for number, tenant in enumerate(tenants):
        wait_for(lambda: tenant.status_of("GET", CONFIG_MAPS) == 200)  # noqa: B023
        tenant.create(CONFIG_MAPS, config_map(f"after-{number}"))


def test_top_tells_what_ranges_hold_and_how_busy_they_are(server: Server) -> None:
    where = ("--root-directory", str(server.root))
    root = Api(server.url, server.ca, server.token()).cluster("root")
    for number in range(3):
        root.workspace(f"tenant-{number}")

    def counted() -> Any:
        found = json.loads(tenantry("top", "-o", "json", *where).printed)
        return found if sum(row["tenants"] for row in found["ranges"]) == 3 else None

    found = wait_for(counted)
    assert {row["name"] for row in found["shards"]} == {"shard-1", "shard-2"}
    assert all(row["objects"] > 0 for row in found["ranges"])
