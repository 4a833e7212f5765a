"""The life of `tenantry start`: coming up, ending, crashing, coming back, and refusing to start."""

from __future__ import annotations

import hashlib
import signal
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import urllib3
import yaml

from tests.e2e.client import CONFIG_MAPS, NAMESPACES, WORKSPACES, Api, Refused, config_map
from tests.e2e.waiting import eventually
from tools.server import Server


def masters(server: Server) -> Api:
    return Api(server.url, server.ca, server.token())


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "tenantry") as server:
        yield server


def contents(folder: Path) -> dict[str, str]:
    """Hashes of all files but the lock, which tells its last holder."""
    files = (f for f in folder.rglob("*") if f.is_file() and f.name != "store.lock")
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def test_kubeconfig_has_kcps_contexts_and_only_its_owner_reads_it(own: Server) -> None:
    config = yaml.safe_load(own.kubeconfig.read_text())
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
        "root": f"{own.url}/clusters/root",
        "base": own.url,
        "system:admin": f"{own.url}/clusters/system:admin",
    }
    assert own.kubeconfig.stat().st_mode & 0o077 == 0
    me = masters(own).cluster("root").caller(own.token("root"))
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    user = me.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)["status"]["userInfo"]
    assert (user["username"], set(user["groups"])) == ("kcp-admin", {"system:kcp:admin", "system:authenticated"})
    user = masters(own).cluster("root").create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)["status"]["userInfo"]
    assert (user["username"], set(user["groups"])) == ("shard-admin", {"system:masters", "system:authenticated"})


def test_health_and_metrics(own: Server) -> None:
    api = masters(own)
    for path in ("/livez", "/readyz", "/healthz"):
        assert api.caller("").request("GET", path).text == "ok"
    verbose = api.request("GET", "/readyz?verbose").text
    assert "[+]" in verbose and verbose.rstrip().endswith("check passed")
    assert "# TYPE" in api.request("GET", "/metrics").text
    assert api.caller("").status_of("GET", "/metrics") == 403


def test_sigterm_ends_watches_cleanly_and_exits_with_success(own: Server) -> None:
    place = masters(own).cluster("root").workspace("one")
    with place.watch(NAMESPACES) as watch:
        events = iter(watch)
        assert next(events)["type"] == "ADDED"
        own.signal(signal.SIGTERM)
        # The stream ends as HTTP ends it: a cut connection would raise here.
        rest = list(events)
    assert all(event["type"] != "ERROR" for event in rest)
    assert own.wait() == 0


def test_ctrl_c_exits_with_success(own: Server) -> None:
    own.signal(signal.SIGINT)
    assert own.wait() == 0


def test_second_start_finds_everything(own: Server) -> None:
    place = masters(own).cluster("root").workspace("one")
    made = place.create(CONFIG_MAPS, config_map("kept", {"key": "value"}))
    version = int(place.get(CONFIG_MAPS)["metadata"]["resourceVersion"])
    token = own.token()
    own.stop()
    own.start()
    assert own.token() == token, "the token of shard-admin outlives a start, as kcp's does"
    again = masters(own).cluster("root:one")
    assert again.get(f"{CONFIG_MAPS}/kept") == made
    later = again.create(CONFIG_MAPS, config_map("later"))
    assert int(later["metadata"]["resourceVersion"]) > version
    inner = again.workspace("two")
    assert inner.names(NAMESPACES) == ["default", "kube-system"]


def test_kill_loses_nothing_that_was_acknowledged(own: Server) -> None:
    place = masters(own).cluster("root").workspace("one")
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
    eventually(lambda: len(deleted) > 100, "100 deletions are acknowledged")
    own.kill()
    for writer in writers:
        writer.join()
    own.start()
    found = {c["metadata"]["name"]: c for c in masters(own).cluster("root:one").items(CONFIG_MAPS)}
    # A deletion that was under way may have been done; one name of each writer is in that state at the most.
    missing = set(created) - set(deleted) - set(found)
    assert len(missing) <= len(writers) and all(int(name.rpartition("-")[2]) % 3 == 0 for name in missing)
    assert not set(deleted) & set(found)
    assert all(c["data"]["value"] == name * 20 for name, c in found.items() if name.startswith("object-"))


def test_kill_amid_workspace_creation_leaves_none_half_made(own: Server) -> None:
    root = masters(own).cluster("root")
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
    eventually(lambda: len(accepted) > 40, "40 workspaces are accepted")
    own.kill()
    for writer in writers:
        writer.join()
    own.start()
    root = masters(own).cluster("root")
    assert set(accepted) <= set(root.names(WORKSPACES))
    for name in root.names(WORKSPACES):
        assert root.ready(name).names(NAMESPACES) == ["default", "kube-system"]


def test_second_start_on_one_directory_is_refused(own: Server) -> None:
    place = masters(own).cluster("root").workspace("one")
    code, text = Server(own.root).refusal()
    assert code == 1
    assert str(own.root / "data") in text and "in use by process" in text
    assert "Traceback" not in text
    # The first one is none the worse for it.
    place.create(CONFIG_MAPS, config_map("still-here"))


def test_taken_port_is_refused(tmp_path: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for flag in ("--secure-port", "--gateway-port"):
            code, text = Server(tmp_path / "tenantry", flag, str(port)).refusal()
            assert code == 1
            assert str(port) in text and "Traceback" not in text
    with Server(tmp_path / "tenantry") as server:
        assert masters(server).cluster("root").names(NAMESPACES)


def test_bad_setting_is_refused(tmp_path: Path) -> None:
    code, text = Server(tmp_path / "tenantry", "--range-capacity", "none").refusal()
    assert code == 2
    assert "--range-capacity" in text
    assert not (tmp_path / "tenantry").exists()


def overwrite_head(database: Path) -> None:
    with database.open("r+b") as file:
        file.write(b"this is no database any more....")


def cut_in_half(database: Path) -> None:
    with database.open("r+b") as file:
        file.truncate(database.stat().st_size // 2)


def empty(database: Path) -> None:
    database.write_bytes(b"")


def replace_by_another_database(database: Path) -> None:
    database.unlink()
    with closing(sqlite3.connect(database)) as other:
        other.execute("CREATE TABLE holidays (day TEXT)")


@pytest.mark.parametrize("damage", [overwrite_head, cut_in_half, empty, replace_by_another_database])
def test_damaged_data_is_named_and_left_alone(own: Server, damage: Callable[[Path], None]) -> None:
    place = masters(own).cluster("root").workspace("one")
    for number in range(20):
        place.create(CONFIG_MAPS, config_map(f"object-{number}", {"value": "x" * 5000}))
    own.stop()
    damage(max((own.root / "data").iterdir(), key=lambda f: f.stat().st_size))
    before = contents(own.root)
    code, text = Server(own.root).refusal()
    assert code == 1
    assert str(own.root / "data") in text and "Traceback" not in text
    assert contents(own.root) == before


def test_lost_database_beside_its_log_is_not_replaced(own: Server) -> None:
    masters(own).cluster("root").workspace("one")
    own.kill()
    database = own.root / "data" / "store.sqlite"
    assert database.with_name("store.sqlite-wal").exists()
    database.unlink()
    before = contents(own.root)
    code, text = Server(own.root).refusal()
    assert code == 1
    assert str(database) in text and "Traceback" not in text
    assert contents(own.root) == before


def test_lost_tokens_are_not_replaced_in_silence(own: Server) -> None:
    """As kcp: with the hash of shard-admin's token there and the token gone, a start fails."""
    own.stop()
    own.kubeconfig.unlink()
    code, text = Server(own.root).refusal()
    assert code == 1
    assert "admin.kubeconfig" in text


def test_unknown_errors_show_nothing_of_the_inside(own: Server) -> None:
    with pytest.raises(Refused) as refused:
        masters(own).cluster("root").get("/apis/nothing.example/v1/things")
    assert "Traceback" not in refused.value.answer.text
