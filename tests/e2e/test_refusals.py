"""What does not start, and says why: a directory or a port that is in use, bad settings, damaged and lost files."""

from __future__ import annotations

import hashlib
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.api import CONFIG_MAPS, NAMESPACES, Api, config_map
from tests.support.commands import tenantry
from tests.support.etcd import EtcdServer
from tools.server import Server
from tools.spawning import forked


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "tenantry", spawn=forked) as running:
        yield running


def masters(server: Server) -> Api:
    return Api(server.url, server.ca, server.token())


def contents(folder: Path) -> dict[str, str]:
    """Hashes of all files but the lock, which tells its last holder."""
    files = (f for f in folder.rglob("*") if f.is_file() and f.name != "store.lock")
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.mark.one_process("a directory is for one process, an etcd for many")
def test_second_start_on_one_directory_is_refused(process: Server) -> None:
    place = masters(process).cluster("root").workspace("one")
    code, text = Server(process.root, spawn=forked).refusal()
    assert code == 1
    assert str(process.root / "data") in text and "in use by process" in text
    assert "Traceback" not in text
    # The first one is none the worse for it.
    place.create(CONFIG_MAPS, config_map("still-here"))


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.mark.one_process("each process of the other form is asked below")
def test_taken_port_is_refused(tmp_path: Path, taken_port: int) -> None:
    for flag in ("--secure-port", "--gateway-port"):
        code, text = Server(tmp_path / "tenantry", flag, str(taken_port), spawn=forked).refusal()
        assert code == 1
        assert str(taken_port) in text and "Traceback" not in text
    with Server(tmp_path / "tenantry", spawn=forked) as server:
        assert masters(server).cluster("root").names(NAMESPACES)


@pytest.mark.one_process("each process of the other form is asked below")
def test_bad_setting_is_refused(tmp_path: Path) -> None:
    code, text = Server(tmp_path / "tenantry", "--range-capacity", "none", spawn=forked).refusal()
    assert code == 2
    assert "--range-capacity" in text
    assert not (tmp_path / "tenantry").exists()


PORTS = {
    "registry": ("--registry-port", "--health-port"),
    "gateway": ("--secure-port", "--gateway-port", "--health-port"),
    "shard": ("--secure-port", "--health-port"),
}


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdServer]:
    server = EtcdServer()
    server.start()
    yield server
    server.stop()


def refusal(*arguments: str) -> tuple[int, str]:
    """For a process that must not start: the exit code and what it wrote to standard error."""
    done = tenantry(*arguments, fails=True)
    return done.code, done.errors


@pytest.mark.parametrize("command", PORTS)
def test_taken_port_of_a_process_is_refused(command: str, etcd: EtcdServer, taken_port: int) -> None:
    free = [argument for flag in PORTS[command] for argument in (flag, "0")]
    for flag in PORTS[command]:
        ports = ("--bind-address", "127.0.0.1", *free, flag, str(taken_port))
        code, text = refusal(command, *ports, "--etcd-servers", etcd.url)
        assert code == 1, text
        assert str(taken_port) in text and "Traceback" not in text
        assert flag in text or "gRPC" in text


@pytest.mark.parametrize("command", PORTS)
def test_bad_setting_of_a_process_is_refused(command: str) -> None:
    code, text = refusal(command, "--health-port", "none")
    assert code == 2
    assert "--health-port" in text and "Traceback" not in text


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


@pytest.mark.one_process("it is about SQLite's files")
@pytest.mark.parametrize("damage", [overwrite_head, cut_in_half, empty, replace_by_another_database])
def test_damaged_data_is_named_and_left_alone(process: Server, damage: Callable[[Path], None]) -> None:
    place = masters(process).cluster("root").workspace("one")
    for number in range(20):
        place.create(CONFIG_MAPS, config_map(f"object-{number}", {"value": "x" * 5000}))
    process.stop()
    damage(max((process.root / "data").iterdir(), key=lambda f: f.stat().st_size))
    before = contents(process.root)
    code, text = Server(process.root, spawn=forked).refusal()
    assert code == 1
    assert str(process.root / "data") in text and "Traceback" not in text
    assert contents(process.root) == before


@pytest.mark.one_process("it is about SQLite's files")
def test_lost_database_beside_its_log_is_not_replaced(process: Server) -> None:
    masters(process).cluster("root").workspace("one")
    process.kill()
    database = process.root / "data" / "store.sqlite"
    assert database.with_name("store.sqlite-wal").exists()
    database.unlink()
    before = contents(process.root)
    code, text = Server(process.root, spawn=forked).refusal()
    assert code == 1
    assert str(database) in text and "Traceback" not in text
    assert contents(process.root) == before


@pytest.mark.one_process("elsewhere the tokens are in etcd, and nothing of a platform is left without it")
def test_lost_tokens_are_not_replaced_in_silence(process: Server) -> None:
    """As kcp: with the hash of shard-admin's token there and the token gone, a start fails."""
    process.stop()
    process.kubeconfig.unlink()
    code, text = Server(process.root, spawn=forked).refusal()
    assert code == 1
    assert "admin.kubeconfig" in text


@pytest.mark.one_process("elsewhere a command prints it, and it is its caller's who may read that")
def test_only_its_owner_reads_the_kubeconfig(process: Server) -> None:
    assert process.kubeconfig.stat().st_mode & 0o077 == 0
