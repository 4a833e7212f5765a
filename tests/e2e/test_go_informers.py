"""client-go's dynamic informers, one for each URL of an endpoint slice, while consumers come over several ranges."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.client import API_BINDINGS, Api
from tests.e2e.kubeconfig import kubeconfig
from tests.e2e.provider import COWBOYS, Provider, cowboy, schema
from tests.e2e.waiting import eventually
from tests.support.tools import program
from tools.server import Server

SOURCE = Path(__file__).parent.parent / "clients" / "informers"
CONSUMERS = 12
LINE_SECONDS = 60.0


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    go = program("go", "it comes with golang-go")
    built = tmp_path_factory.mktemp("go") / "informers"
    done = subprocess.run([go, "build", "-o", str(built), "."], cwd=SOURCE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built


class Informers:
    """The running program: its events and its requests as they come, and the contents of its caches when asked."""

    def __init__(self, binary: Path, kubeconfig: Path) -> None:
        self.events: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self._snapshots: queue.Queue[dict[str, Any]] = queue.Queue()
        self._ready = threading.Event()
        arguments = ["-kubeconfig", kubeconfig, "-slice", "cowboys", "-group", "example.com", "-resource", "cowboys"]
        self._process = subprocess.Popen(
            [str(binary), *map(str, arguments), "-field", "spec.intent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._ready.wait(LINE_SECONDS), "the program has not become ready"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            if event["event"] == "snapshot":
                self._snapshots.put(event)
            elif event["event"] == "ready":
                self._ready.set()
            elif event["event"] in ("list", "watch"):
                self.requests.append(event)
            else:
                self.events.append(event)

    def snapshot(self) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._snapshots.get(timeout=LINE_SECONDS)

    def caches(self) -> dict[str, str]:
        found: dict[str, str] = self.snapshot()["caches"] or {}
        return found

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [e for e in list(self.events) if e["event"] == kind]

    def stop(self) -> str:
        """Ends the program; what it complained about."""
        assert self._process.stdin is not None and self._process.stderr is not None
        self._process.stdin.close()
        complaints = self._process.stderr.read()
        self._process.wait(LINE_SECONDS)
        self._reader.join()
        return complaints


@pytest.fixture
def root(many_ranges: Server) -> Api:
    return Api(many_ranges.url, many_ranges.ca, many_ranges.token()).cluster("root")


@pytest.fixture
def provider(root: Api) -> Provider:
    return Provider.install(root.workspace("provider"), schema())


@pytest.fixture
def informers(many_ranges: Server, provider: Provider, binary: Path, tmp_path: Path) -> Iterator[Informers]:
    path = tmp_path / "provider.kubeconfig"
    path.write_text(yaml.safe_dump(kubeconfig(many_ranges, provider.api)))
    running = Informers(binary, path)
    try:
        yield running
    finally:
        complaints = running.stop()
    assert "panic" not in complaints, complaints


def test_every_object_and_every_update_is_seen(root: Api, provider: Provider, informers: Informers) -> None:
    expected: dict[str, str] = {}
    consumers: list[Api] = []
    for number in range(CONSUMERS):
        consumer = provider.bind(root.workspace(f"consumer-{number}"))
        consumers.append(consumer)
        name = f"cowboy-{number}"
        consumer.create(COWBOYS, cowboy(name, "0"))
        expected[f"{consumer.name}|default/{name}"] = "0"
        # Who was there before keeps changing while others come.
        for earlier, other in enumerate(consumers):
            other.patch(f"{COWBOYS}/cowboy-{earlier}", {"spec": {"intent": str(number + 1)}})
            expected[f"{other.name}|default/cowboy-{earlier}"] = str(number + 1)

    eventually(lambda: informers.caches() == expected, "every consumer's object is in the caches", seconds=60)
    urls = informers.snapshot()["urls"]
    assert len(urls) >= 3 and sorted(urls) == sorted(provider.urls())
    assert informers.of("url-removed") == []

    # An informer that lists late sees one state instead of the updates before it, so the last word is from here on.
    seen = len(informers.events)
    rounds = 20
    for step in range(rounds):
        for number, consumer in enumerate(consumers):
            consumer.patch(f"{COWBOYS}/cowboy-{number}", {"spec": {"intent": f"step-{step}"}})
    final = dict.fromkeys(expected, f"step-{rounds - 1}")
    eventually(lambda: informers.caches() == final, "every last update is in the caches", seconds=60)
    updates: dict[str, list[str]] = {}
    for event in informers.events[seen:]:
        assert event["event"] == "update", event
        updates.setdefault(event["object"], []).append(event["value"])
    wanted = [f"step-{step}" for step in range(rounds)]
    assert updates == dict.fromkeys(expected, wanted), "each update once and in order"

    # Nothing is delivered under two URLs.
    placed: dict[str, set[str]] = {}
    for event in informers.of("update") + informers.of("add"):
        placed.setdefault(event["object"], set()).add(event["url"])
    assert all(len(places) == 1 for places in placed.values())


def test_informers_go_with_their_url(root: Api, provider: Provider, informers: Informers) -> None:
    consumer = provider.bind(root.workspace("consumer"))
    consumer.create(COWBOYS, cowboy("joe"))
    key = f"{consumer.name}|default/joe"
    eventually(lambda: informers.caches() == {key: "ride"})
    consumer.delete(f"{COWBOYS}/joe")
    eventually(lambda: [e["object"] for e in informers.of("delete")] == [key])
    consumer.delete(f"{API_BINDINGS}/cowboys")
    eventually(lambda: len(informers.of("url-removed")) == 1)
    assert informers.snapshot().get("urls") is None
