"""A Go program with stubs generated from `protos/`: the services are usable from outside, in another language."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest

from tests.support.lookups import LOST, ORG, TEAM, URL, GatewayLookups
from tests.support.tools import program
from tools.go_client import build

pytestmark = pytest.mark.client


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(program("go", "it comes with golang-go"), tmp_path_factory.mktemp("go") / "resolve")


@pytest.fixture
def arguments(gateway: GatewayLookups, tmp_path: Path) -> list[str]:
    who = gateway.credentials
    named = {"ca": who.ca, "cert": who.certificate, "key": who.key}
    for name, content in named.items():
        (tmp_path / name).write_bytes(content)
    files = [part for name in named for part in (f"-{name}", str(tmp_path / name))]
    return ["-address", gateway.address, *files]


async def lines(process: Process) -> list[dict[str, Any]]:
    out, error = await process.communicate()
    assert process.returncode == 0, error.decode()
    return [json.loads(line) for line in out.splitlines()]


async def test_go_resolves_and_reads_the_details_of_refusals(binary: Path, gateway: GatewayLookups, arguments: list[str]) -> None:
    tenants = ["root:org:team", TEAM, "root:nobody", "A b", LOST]
    command = [str(binary), *arguments]
    found = await lines(await asyncio.create_subprocess_exec(*command, "resolve", *tenants, stdout=PIPE, stderr=PIPE))
    here = {
        "cluster": TEAM,
        "path": "root:org:team",
        "range": "range-3",
        "shard": "shard-2",
        "url": f"{URL}/clusters/{TEAM}",
        "generation": 1,
    }
    assert found[:2] == [here, here]
    assert [(refused["code"], set(refused["details"])) for refused in found[2:]] == [
        ("NotFound", {"google.rpc.ResourceInfo"}),
        ("InvalidArgument", {"google.rpc.BadRequest"}),
        ("Unavailable", {"google.rpc.ErrorInfo", "google.rpc.RetryInfo"}),
    ]
    found = await lines(
        await asyncio.create_subprocess_exec(*command, "batch", TEAM, "root:org", "root:nobody", stdout=PIPE, stderr=PIPE)
    )
    assert found == [{"urls": [f"{URL}/clusters/{TEAM}", f"{URL}/clusters/{ORG}", ""]}]


async def test_go_follows_the_map(binary: Path, gateway: GatewayLookups, arguments: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(str(binary), *arguments, "watch", stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    try:
        first = json.loads(await process.stdout.readline())
        assert first["full"] and first["shards"]["range-3"] == "shard-2"
        version = await gateway.give("range-3", "u1", 2)
        update = first
        while update["version"] < version:
            update = json.loads(await process.stdout.readline())
            assert not update["full"]
        assert update["shards"]["range-3"] == "shard-1"
    finally:
        process.kill()
        await process.wait()
