"""A full disk: writes are refused in clear words, reads go on, nothing that was acknowledged is lost."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from tests.support.api import CONFIG_MAPS, Api, Refused, config_map
from tools.server import Server
from tools.spawning import forked

WRITES_MAX = 5000


@pytest.mark.one_process("SQLite's files; etcd's space is in tests/distributed/test_full_etcd.py")
def test_full_disk_refuses_writes_and_loses_nothing(tmp_path: Path) -> None:
    with Server(tmp_path / "tenantry", spawn=forked) as server:
        place = Api(server.url, server.ca, server.token()).cluster("root").workspace("place")
        place.create(CONFIG_MAPS, config_map("first"))
        server.limit_file_bytes(_largest_file(server.root / "data") + 64 * 1024)
        acknowledged, refusal = _fill(place)

        assert refusal.answer.status == 503, refusal
        # A limit on file sizes looks like a failing disk to SQLite; the words for a full one have a test of the engine's.
        assert "the store takes no writes now" in refusal.answer.text
        assert place.get(f"{CONFIG_MAPS}/first")["metadata"]["name"] == "first"
        server.limit_file_bytes(resource.RLIM_INFINITY)
        place.create(CONFIG_MAPS, config_map("after"))
        server.kill()
        server.start()
        again = Api(server.url, server.ca, server.token()).cluster("root:place")
        names = {item["metadata"]["name"] for item in again.get(CONFIG_MAPS)["items"]}
        assert {"first", "after", *acknowledged} <= names


def _fill(place: Api) -> tuple[list[str], Refused]:
    """Writes until it is refused: what was acknowledged, and the refusal."""
    acknowledged: list[str] = []
    for number in range(WRITES_MAX):
        try:
            place.create(CONFIG_MAPS, config_map(f"more-{number}", {"value": "x" * 4096}))
        except Refused as refused:
            return acknowledged, refused
        acknowledged.append(f"more-{number}")
    raise AssertionError(f"{WRITES_MAX} writes were taken")


def _largest_file(folder: Path) -> int:
    return max(f.stat().st_size for f in folder.rglob("*") if f.is_file())
