"""A shard whose certificate nobody believes is well, and is given nothing."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenantry.http.certificates import CertificateAuthority
from tests.distributed.test_take_over import CONFIG_MAPS
from tests.support.fleet import Fleet
from tests.support.waiting import wait_for
from tools.ports import free_port


@pytest.fixture(scope="module")
def platform() -> Iterator[Fleet]:
    with Fleet(shards=2, flags={"registry": ("--range-capacity", "2")}) as running:
        yield running


def test_shard_that_tls_refuses_gets_no_ranges(platform: Fleet, tmp_path: Path) -> None:
    """As with one whose clock is wrong: gateways and peers refuse its certificate. It says so where it is asked whether it is
    ready, and tenants are made and served elsewhere, without an error."""
    CertificateAuthority.create("another").issue_serving(["127.0.0.1"]).write(tmp_path / "tls.crt", tmp_path / "tls.key")
    health = free_port()
    files = ("--tls-cert-file", str(tmp_path / "tls.crt"), "--tls-private-key-file", str(tmp_path / "tls.key"))
    shard = platform.add_shard("refused", *files, "--health-port", str(health), wait=False)
    wait_for(lambda: any(info.name == "refused" for info in platform.living()), "the shard has a session", 60)
    for number in range(6):
        workspace = platform.root.workspace(f"beside-a-refused-shard-{number}")
        assert workspace.status_of("GET", CONFIG_MAPS) == 200
        assert platform.owned_by(shard) == []
    shard.ready()

    def unready() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{health}/readyz/reachable", timeout=5):
                return ""
        except urllib.error.HTTPError as error:
            return error.read().decode()

    assert "gateways and shards do not reach it" in (why := wait_for(unready, "the shard says that it is not reached"))
    assert "certificate" in why.lower()
