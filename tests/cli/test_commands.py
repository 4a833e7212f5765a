"""`tenantry ranges|shards|resolve|urls|drain|undrain|top`, asked of a gateway and a registry of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gateway.main import Gateway
from gateway.settings import GatewaySettings
from registry.main import RegistryProcess
from registry.settings import RegistrySettings
from tenantry.cli import shard_commands
from tenantry.cli.main import main
from tenantry.cli.screen import ProgressBar, Screen
from tenantry.client.sync import LoopThread
from tenantry.http.certificates import CertificateAuthority
from tenantry.http.upstream import Upstream
from tenantry.placement import reachability_probe
from tenantry.storage.memory import MemoryStore
from tests.cli.executed import executed
from tests.support.patience import PATIENCE_SECONDS
from tests.support.shards import FleetInMemory
from tests.support.waiting import eventually

SHARDS = ("one", "two")


@dataclass
class Platform:
    """Its parts live on a loop in a thread of its own, so that commands can have theirs."""

    loop: LoopThread
    fleet: FleetInMemory
    root: Path
    gateway: Gateway
    registry: str

    @property
    def asking(self) -> list[str]:
        return ["--root-directory", str(self.root), "--registry", self.registry]

    def owner(self) -> str:
        return self.fleet.owners()["root"]

    def other(self) -> str:
        return next(name for name in SHARDS if name != self.owner())

    def placed(self) -> None:
        self.loop.run(self._placed(), PATIENCE_SECONDS)

    async def _placed(self) -> None:
        await eventually(self.fleet.placed)
        await self.gateway.map.reached(self.fleet.map.version)


async def reached(upstream: Upstream) -> str:
    return ""


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    # These shards have no server that a gateway could reach.
    monkeypatch.setattr(reachability_probe, "reaches", reached)
    loop = LoopThread("platform")
    store = MemoryStore()
    authority = CertificateAuthority.create()
    root = tmp_path / "access"

    async def begin() -> tuple[FleetInMemory, RegistryProcess, Gateway]:
        registry = RegistryProcess(
            RegistrySettings(bind_address="127.0.0.1", registry_port=0, health_port=-1, balance=False), store, authority
        )
        await registry.start()
        gateway = Gateway(
            GatewaySettings(bind_address="127.0.0.1", secure_port=0, gateway_port=0, health_port=-1, access_directory=str(root)),
            store,
            authority,
        )
        await gateway.start()
        fleet = FleetInMemory(store)
        for name in SHARDS:
            await fleet.join(name)
        await eventually(fleet.placed)
        await gateway.map.reached(fleet.map.version)
        return fleet, registry, gateway

    fleet, registry, gateway = loop.run(begin(), PATIENCE_SECONDS)
    yield Platform(loop, fleet, root, gateway, f"127.0.0.1:{registry.port}")

    async def end() -> None:
        await gateway.stop()
        await fleet.stop()
        await registry.stop()
        await store.close()

    loop.run(end(), PATIENCE_SECONDS)
    loop.stop()


@dataclass
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def say(platform: Platform, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> Said:
        capsys.readouterr()
        code = main([*arguments, *platform.asking])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


def test_tables_are_for_people_and_the_other_forms_for_programs(platform: Platform, say: Any) -> None:
    table = say("ranges")
    assert table.code == 0
    assert table.out.split("\n")[0].split() == ["NAME", "START", "END", "SHARD", "GENERATION", "TENANTS", "CAPACITY", "URL"]
    assert [line.split()[0] for line in table.out.splitlines()[1:]] == ["root"]
    assert say("ranges", "-o", "wide").out.split("\n")[0].split()[-2:] == ["OWNER", "LABELS"]
    for form, read in (("json", json.loads), ("yaml", yaml.safe_load)):
        (row,) = read(say("ranges", "-o", form).out)
        assert (row["name"], row["shard"], row["labels"]) == ("root", platform.owner(), {})
        shards = {row["name"]: row for row in read(say("shards", "-o", form).out)}
        assert shards[platform.owner()]["ranges"] == ["root"] and shards[platform.other()]["ranges"] == []
    assert "root" in say("shards", "-o", "wide").out and "root" not in say("shards").out


def test_what_is_found_is_shown_beside_what_is_not(say: Any) -> None:
    said = say("resolve", "root", "root:nobody", "No Path")
    assert said.code == 1
    assert [line.split()[:2] for line in said.out.splitlines()[1:]] == [["root", "root"]]
    first, second = said.err.splitlines()
    assert "root:nobody" in first and "not found" in first
    assert "No Path" in second
    alone = say("resolve", "root:nobody")
    assert (alone.code, alone.out) == (1, "")


def test_urls_need_a_workspace_and_an_export(say: Any) -> None:
    assert "names no workspace" in say("urls", "cowboys").err
    said = say("urls", "root:cowboys")
    assert said.code == 1 and "no export 'cowboys' in workspace 'root'" in said.err


def test_drain_moves_everything_away_and_undrain_takes_it_back(platform: Platform, say: Any) -> None:
    owner, other = platform.owner(), platform.other()
    said = say("drain", owner)
    assert (said.code, said.out) == (0, f"shard {owner} owns no range\n")
    assert said.err.splitlines()[-1].endswith("1/1 ranges moved")
    platform.placed()
    assert platform.owner() == other
    state = {row["name"]: row["draining"] for row in json.loads(say("shards", "-o", "json").out)}
    assert state == {owner: True, other: False}
    refused = say("drain", other)
    assert refused.code == 1 and "no other shard could take the ranges" in refused.err
    assert say("undrain", owner).out == f"shard {owner} gets ranges again\n"
    assert "is being drained" in say("drain", other, "--no-wait").out
    for verb in ("drain", "undrain"):
        said = say(verb, "nobody")
        assert said.code == 1 and "no shard with the name or uid 'nobody'" in said.err


def test_a_drain_that_takes_too_long_says_how_far_it_is(platform: Platform, say: Any) -> None:
    said = say("drain", platform.owner(), "--timeout-seconds", "0.000001")
    assert said.code == 1
    assert "still owns 1 ranges after 1e-06 s; draining continues" in said.err


def test_top_is_a_picture_for_people_and_data_for_programs(platform: Platform, say: Any) -> None:
    said = say("top", "--once")
    assert said.code == 0 and "2 shards   1 ranges" in said.out
    found = json.loads(say("top", "-o", "json").out)
    assert {row["name"] for row in found["shards"]} == set(SHARDS)
    assert found["ranges"] == [
        {"name": "root", "shard": platform.owner(), "capacity": 1000, "tenants": 0, "objects": 0, "requests_per_second": 0.0}
    ]
    assert yaml.safe_load(say("top", "-o", "yaml").out) == found


def test_whoever_is_asked_in_vain_is_named(platform: Platform, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = ["--root-directory", str(platform.root)]
    for arguments, text in (
        (["top", *root], "has no address of a registry: set --registry"),
        (["top", *root, "--registry", "localhost"], "--registry takes host:port"),
        (["ranges", *root, "--gateway", "somewhere:"], "--gateway takes host:port"),
        (["ranges", *root, "--gateway", platform.registry], "the server there is not a gateway"),
        (["ranges", *root, "--gateway", "127.0.0.1:1"], "no answer from 127.0.0.1:1"),
        (["ranges", "--root-directory", str(tmp_path / "none")], "is `tenantry start` running there?"),
    ):
        assert main(arguments) == 1, arguments
        said = capsys.readouterr()
        assert said.out == "" and text in said.err and len(said.err.splitlines()) == 1, said.err


@pytest.mark.parametrize(
    "arguments", [["drain", "one", "--timeout-seconds", "-1"], ["resolve"], ["ranges", "-o", "xml"], ["none"]]
)
def test_wrong_usage_is_told_from_failure(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("arguments", [["ranges", "-w"], ["top"]])
def test_a_watch_ends_when_nobody_reads_it_any_more(platform: Platform, arguments: list[str], buffered: bool) -> None:
    with executed([*arguments, *platform.asking], buffered, subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdout.close()
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, err) == (0, b"")


def test_a_full_disk_is_said_in_a_line(platform: Platform, buffered: bool) -> None:
    with Path("/dev/full").open("wb") as full, executed(["ranges", *platform.asking], buffered, full) as process:
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert (process.returncode, err) == (1, b"tenantry: [Errno 28] No space left on device\n")


def test_an_interrupted_drain_is_no_success(platform: Platform, say: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while it waits."""

    async def left(registry: object, uid: str) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        return 1

    monkeypatch.setattr(shard_commands, "_ranges_left", left)
    # Shells have what they start in the background ignore Ctrl-C, the tests among it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        said = say("drain", platform.owner())
    finally:
        signal.signal(signal.SIGINT, before)
    assert said.code == 130
    assert "continues; `tenantry undrain" in said.err


class Terminal:
    """A TextIO that says it is a terminal."""

    def __init__(self, live: bool = True) -> None:
        self.text = ""
        self._live = live

    def isatty(self) -> bool:
        return self._live

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def fileno(self) -> int:
        raise OSError("not a file")


def test_a_screen_shows_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenantry.cli.screen.shutil", SimpleNamespace(get_terminal_size=lambda: os.terminal_size((10, 3))))
    terminal: Any = Terminal()
    Screen(terminal).show("0123456789abc\nsecond\nthird")
    assert "0123456789\x1b[K\n" in terminal.text and "abc" not in terminal.text and "third" not in terminal.text


def test_without_a_terminal_only_changes_are_printed() -> None:
    out: Any = Terminal(live=False)
    screen = Screen(out)
    for text in ("a", "a", "b"):
        screen.show(text)
    assert out.text == "a\n\nb\n"


def test_a_bar_fills() -> None:
    out: Any = Terminal(live=False)
    bar = ProgressBar("moving", 4, out)
    for done in (0, 1, 1, 4):
        bar.show(done)
    bar.end()
    assert [line.count("#") for line in out.text.splitlines()] == [0, 7, 30]
