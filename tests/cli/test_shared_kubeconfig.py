"""`tenantry kubeconfig` on a real etcd."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tenantry.cli.main import main
from tests.support.etcd import EtcdServer


@pytest.fixture
def etcd() -> Iterator[EtcdServer]:
    server = EtcdServer()
    server.start()
    yield server
    server.stop()


def test_is_the_same_each_time(etcd: EtcdServer, capsys: pytest.CaptureFixture[str]) -> None:
    def printed(*arguments: str) -> str:
        assert main(["kubeconfig", "--etcd-servers", etcd.url, *arguments]) == 0
        return capsys.readouterr().out

    first = printed("--external-url", "https://platform.example.com:6443")
    assert first == printed("--external-url", "https://platform.example.com:6443")
    document = yaml.safe_load(first)
    assert document["current-context"] == "root"
    assert document["clusters"][0]["cluster"]["server"] == "https://platform.example.com:6443/clusters/root"
    assert {user["name"] for user in document["users"]} == {"kcp-admin", "shard-admin"}


def test_names_what_is_wrong(tmp_path: Path, etcd: EtcdServer, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing.crt"
    assert main(["kubeconfig", "--etcd-servers", etcd.url, "--certificate-authority-file", str(missing)]) == 1
    assert str(missing) in capsys.readouterr().err
    assert main(["kubeconfig", "--etcd-servers", etcd.url, "--etcd-certfile", "x"]) == 2
    assert "--etcd-certfile and --etcd-keyfile must be given together" in capsys.readouterr().err
