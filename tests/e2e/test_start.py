"""The life of a platform: coming up, ending, crashing, and coming back."""

from __future__ import annotations

import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import urllib3
import yaml

from tests.support.api import CONFIG_MAPS, NAMESPACES, WORKSPACES, Api, Refused, config_map
from tests.support.forms import Platform, platform
from tests.support.waiting import wait_for
from tools.server import Server
from tools.spawning import forked


@pytest.fixture
def own(form: str, tmp_path: Path) -> Iterator[Platform]:
    with platform(form, tmp_path) as running:
        yield running


def test_kubeconfig_has_kcps_contexts(server: Platform) -> None:
    config = yaml.safe_load(server.kubeconfig.read_text())
    contexts = {c["name"]: (c["context"]["cluster"], c["context"]["user"]) for c in config["contexts"]}
    assert contexts == {
        "root": ("root", "kcp-admin"),
        "base": ("base", "kcp-admin"),
        "system:admin": ("system:admin", "shard-admin"),
        "shard-base": ("base", "shard-admin"),
    }
    assert config["current-context"] == "root"
    servers = {c["name"]: c["cluster"]["server"] for c in config["clusters"]}
    assert servers == {
        "root": f"{server.url}/clusters/root",
        "base": server.url,
        "system:admin": f"{server.url}/clusters/system:admin",
    }
    me = server.root.caller(server.token("root"))
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    user = me.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)["status"]["userInfo"]
    assert (user["username"], set(user["groups"])) == ("kcp-admin", {"system:kcp:admin", "system:authenticated"})
    user = server.root.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)["status"]["userInfo"]
    assert (user["username"], set(user["groups"])) == ("shard-admin", {"system:masters", "system:authenticated"})


def test_health_and_metrics(server: Platform) -> None:
    api = server.masters
    for path in ("/livez", "/readyz", "/healthz"):
        assert api.caller("").request("GET", path).text == "ok"
    verbose = api.request("GET", "/readyz?verbose").text
    assert "[+]" in verbose and verbose.rstrip().endswith("check passed")
    assert "# TYPE" in api.request("GET", "/metrics").text
    assert api.caller("").status_of("GET", "/metrics") == 403


def test_sigterm_ends_watches_cleanly_and_exits_with_success(own: Platform) -> None:
    place = own.root.workspace("one")
    with place.watch(NAMESPACES) as watch:
        events = iter(watch)
        assert next(events)["type"] == "ADDED"
        own.signal(signal.SIGTERM)
        # The stream ends as HTTP ends it: a cut connection would raise here.
        rest = list(events)
    assert all(event["type"] != "ERROR" for event in rest)
    assert own.wait() == 0


def test_ctrl_c_exits_with_success(own: Platform) -> None:
    own.signal(signal.SIGINT)
    assert own.wait() == 0


def test_second_start_finds_everything(own: Platform) -> None:
    place = own.root.workspace("one")
    made = place.create(CONFIG_MAPS, config_map("kept", {"key": "value"}))
    version = int(place.get(CONFIG_MAPS)["metadata"]["resourceVersion"])
    token = own.token()
    own.stop()
    own.start()
    assert own.token() == token, "the token of shard-admin outlives a start, as kcp's does"
    again = own.masters.cluster("root:one")
    assert again.get(f"{CONFIG_MAPS}/kept") == made
    later = again.create(CONFIG_MAPS, config_map("later"))
    assert int(later["metadata"]["resourceVersion"]) > version
    inner = again.workspace("two")
    assert inner.names(NAMESPACES) == ["default", "kube-system"]


def test_kill_loses_nothing_that_was_acknowledged(own: Platform) -> None:
    place = own.root.workspace("one")
    created: list[str] = []
    deleted: list[str] = []

    def write(writer: int) -> None:
        for number in range(100_000):
            name = f"object-{writer}-{number}"
            try:
                place.create(CONFIG_MAPS, config_map(name, {"value": name * 20}))
                created.append(name)
                if number % 3 == 0:
                    place.delete(f"{CONFIG_MAPS}/{name}")
                    deleted.append(name)
            except (urllib3.exceptions.HTTPError, OSError):
                return

    writers = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for writer in writers:
        writer.start()
    wait_for(lambda: len(deleted) > 100, "100 deletions are acknowledged")
    own.kill()
    for writer in writers:
        writer.join()
    own.start()
    found = {c["metadata"]["name"]: c for c in own.masters.cluster("root:one").items(CONFIG_MAPS)}
    # A deletion that was under way may have been done; one name of each writer is in that state at the most.
    missing = set(created) - set(deleted) - set(found)
    assert len(missing) <= len(writers) and all(int(name.rpartition("-")[2]) % 3 == 0 for name in missing)
    assert not set(deleted) & set(found)
    assert all(c["data"]["value"] == name * 20 for name, c in found.items() if name.startswith("object-"))


def test_kill_amid_workspace_creation_leaves_none_half_made(own: Platform) -> None:
    root = own.root
    accepted: list[str] = []

    def write(writer: int) -> None:
        for number in range(10_000):
            name = f"w-{writer}-{number}"
            body = {"apiVersion": "tenancy.kcp.io/v1alpha1", "kind": "Workspace", "metadata": {"name": name}}
            try:
                root.create(WORKSPACES, body)
            except (urllib3.exceptions.HTTPError, OSError):
                return
            accepted.append(name)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for writer in writers:
        writer.start()
    wait_for(lambda: len(accepted) > 40, "40 workspaces are accepted")
    own.kill()
    for writer in writers:
        writer.join()
    own.start()
    root = own.root
    assert set(accepted) <= set(root.names(WORKSPACES))
    for name in root.names(WORKSPACES):
        assert root.ready(name).names(NAMESPACES) == ["default", "kube-system"]


@pytest.mark.one_process(
    "elsewhere nobody knows for sure that a shard is dead, and each that was killed leaves a key of some bytes"
)
def test_journals_of_killed_processes_are_not_kept(tmp_path: Path) -> None:
    with Server(tmp_path / "tenantry", spawn=forked) as process:
        for _ in range(2):
            process.kill()
            process.start()
        root = Api(process.url, process.ca, process.token()).cluster("root")
        root.workspace("one")
        with closing(sqlite3.connect(f"file:{process.root}/data/store.sqlite?mode=ro", uri=True)) as database:
            found = database.execute("SELECT key FROM current WHERE key >= ? AND key < ?", (b"/journal/", b"/journal0"))
            assert len(list(found)) == 1


def test_unknown_errors_show_nothing_of_the_inside(server: Platform) -> None:
    with pytest.raises(Refused) as refused:
        server.root.get("/apis/nothing.example/v1/things")
    assert "Traceback" not in refused.value.answer.text
