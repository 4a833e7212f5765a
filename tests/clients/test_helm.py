"""Unmodified helm on a workspace: a chart with a definition, objects of it, and a hook. `make clients`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.kubeconfig import kubeconfig
from tests.support.api import CONFIG_MAPS, Api
from tests.support.forms import ONE_PROCESS, Platform, platform
from tests.support.tools import program

CHART = Path(__file__).parent / "chart"
SHELVES = "/apis/shop.example.com/v1/namespaces/default/shelves"
SECONDS = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(ONE_PROCESS, tmp_path_factory.mktemp("helm")) as running:
        yield running


@pytest.fixture(params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest, server: Platform, tmp_path: Path) -> tuple[Api, Callable[..., str]]:
    """A workspace, and helm in it."""
    path = program(request.param, "`make clients` builds it")
    place = server.root.workspace(request.param)
    config = tmp_path / "kubeconfig"
    config.write_text(yaml.safe_dump(kubeconfig(server, place)))

    def run(*arguments: str, fails: bool = False) -> str:
        done = subprocess.run(
            [path, "--kubeconfig", str(config), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            env=os.environ | {"HOME": str(tmp_path)},
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    return place, run


def test_a_release_lives(helm: tuple[Api, Callable[..., str]]) -> None:
    place, run = helm
    run("install", "spring", str(CHART), "--wait")
    assert place.get(f"{CONFIG_MAPS}/spring-settings")["data"] == {"color": "red", "serves": "true"}
    assert place.get(f"{CONFIG_MAPS}/spring-before")["data"] == {"revision": "1"}
    assert place.get(f"{SHELVES}/spring")["spec"] == {"color": "red", "replicas": 2}
    run("upgrade", "spring", str(CHART), "--set", "color=blue", "--wait")
    assert place.get(f"{SHELVES}/spring")["spec"] == {"color": "blue", "replicas": 2}
    assert place.get(f"{CONFIG_MAPS}/spring-before")["data"]["revision"] >= "2"
    [release] = json.loads(run("list", "-o", "json"))
    assert (release["name"], release["status"]) == ("spring", "deployed")
    refused = run("upgrade", "spring", str(CHART), "--set", "color=green", fails=True)
    assert 'spec.color: Unsupported value: "green": supported values: "red", "blue"' in refused
    run("rollback", "spring", "1", "--wait")
    assert place.get(f"{SHELVES}/spring")["spec"]["color"] == "red"
    assert 'color: "red"' in run("get", "manifest", "spring")
    run("uninstall", "spring", "--wait")
    assert place.items(SHELVES) == []
    assert "release: not found" in run("history", "spring", fails=True)
