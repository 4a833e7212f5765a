"""Everybody's own workspaces, as kubectl and client-go's informers follow them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.kubeconfig import kubeconfig
from tests.e2e.people import Person, bind
from tests.support.api import RBAC, Api
from tests.support.forms import Platform
from tests.support.informers import Informers
from tests.support.tools import kubectls, program
from tests.support.waiting import wait_for

pytestmark = pytest.mark.views

COLUMNS = ["NAME", "TYPE", "REGION", "PHASE", "URL", "AGE"]
FOLLOWING = ("-group", "tenancy.kcp.io", "-version", "v1alpha1", "-resource", "workspaces", "-field", "status.phase")


@pytest.fixture
def teams(place: Api) -> list[Api]:
    return [place.workspace(f"team-{number}") for number in range(3)]


def path_of(place: Api) -> str:
    """The path of the view for a workspace, by its id."""
    return f"/services/workspaces/{place.name}"


def test_kubectl(server: Platform, place: Api, teams: list[Api], person: Callable[[], Person], tmp_path: Path) -> None:
    bob = person()
    bind(teams[0], bob.subject, "cluster-admin", name="bob")
    config = tmp_path / "kubeconfig"
    config.write_text("apiVersion: v1\nkind: Config\n")
    command = [
        *((kubectls() or [program("kubectl", "it comes with kubernetes-client")])[-1], "--kubeconfig", str(config)),
        *("--cache-dir", str(tmp_path / "cache"), "--server", server.urls[-1] + path_of(place)),
        *("--token", bob.token, "--certificate-authority", str(place.ca)),
    ]

    def run(*arguments: str) -> list[list[str]]:
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=150, check=False)
        assert done.returncode == 0, done.stderr
        return [line.split() for line in done.stdout.splitlines()]

    assert run("explain", "workspaces.spec.cluster")
    wait_for(lambda: len(run("get", "ws")) == 2)
    header, row = run("get", "workspaces", "-o", "wide")
    assert header == COLUMNS and (row[0], row[2]) == ("team-0", "Ready")
    watching = [*command, "get", "workspaces", "-o", "wide", "--watch"]
    with subprocess.Popen(watching, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().split() == COLUMNS
            assert process.stdout.readline().split()[0] == "team-0"
            bind(teams[2], bob.subject, "cluster-admin", name="bob")
            assert process.stdout.readline().split()[0] == "team-2"
            teams[0].delete(f"{RBAC}/clusterrolebindings/bob")
            assert process.stdout.readline().split()[0] == "team-0"
        finally:
            process.terminate()
    assert [line[0] for line in run("get", "workspaces", "--chunk-size=1", "--no-headers")] == ["team-2"]


def test_informers(
    server: Platform, place: Api, teams: list[Api], person: Callable[[], Person], informers_binary: Path, tmp_path: Path
) -> None:
    bob = person()
    document = kubeconfig(server, place)
    for user in document["users"]:
        user["user"] = {"token": bob.token}
    config = tmp_path / "bob.kubeconfig"
    config.write_text(yaml.safe_dump(document))
    with Informers(informers_binary, config, "-url", server.urls[-1] + path_of(place), *FOLLOWING) as informers:
        expected: dict[str, str] = {}
        for number, team in enumerate(teams):
            bind(team, bob.subject, "cluster-admin", name="bob")
            expected[f"{place.name}|/team-{number}"] = "Ready"
            wait_for(lambda: informers.caches() == expected)
        for number, team in enumerate(teams):
            team.delete(f"{RBAC}/clusterrolebindings/bob")
            del expected[f"{place.name}|/team-{number}"]
            wait_for(lambda: informers.caches() == expected)
