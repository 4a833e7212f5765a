"""The command, its settings, kubeconfigs and probes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tenantry_sync_agent.kubeconfig import KubeconfigError, load
from tenantry_sync_agent.main import main
from tenantry_sync_agent.probes import Probes


def written(folder: Path, user: Any, cluster: Any = None) -> Path:
    path = folder / "config"
    document = {
        "clusters": [{"name": "c", "cluster": {"server": "https://there/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(document))
    return path


def test_a_target_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "--target must be given" in capsys.readouterr().err
    assert main(["--target", "edge", "--workers", "0"]) == 2
    assert "--workers must be from 1 to 1000" in capsys.readouterr().err


def test_a_kubeconfig_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--from", str(tmp_path / "none"), "--to", str(tmp_path / "none"), "--probe-port", "0"]
    assert main(["--target", "edge", *flags]) == 1
    assert "FileNotFoundError" in capsys.readouterr().err


def test_tokens(tmp_path: Path) -> None:
    assert load(written(tmp_path, {"token": "t"}))[::2] == ("https://there", "t")
    (tmp_path / "token").write_text("t\n")
    assert load(written(tmp_path, {"tokenFile": "token"})).token_file == tmp_path / "token"
    assert load(written(tmp_path, None)).token == ""


@pytest.mark.parametrize("user", [{"exec": {}}, {"username": "a", "password": "b"}, {"auth-provider": {}}])
def test_credentials_that_are_not_supported(tmp_path: Path, user: Any) -> None:
    with pytest.raises(KubeconfigError, match="is not supported"):
        load(written(tmp_path, user))


def test_a_wrong_authority(tmp_path: Path) -> None:
    data = base64.b64encode(b"no certificate").decode()
    with pytest.raises(KubeconfigError):
        load(written(tmp_path, {}, {"certificate-authority-data": data}))


async def test_probes() -> None:
    reasons: list[str | None] = ["not yet", None]
    probes = Probes(lambda: reasons.pop(0))
    port = await probes.start("127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            answers = [await session.get(path) for path in ("/healthz", "/readyz", "/readyz", "/metrics")]
            assert [answer.status for answer in answers] == [200, 503, 200, 200]
            assert await answers[1].text() == "not yet"
            assert "tenantry_sync_leading" in await answers[3].text()
    finally:
        await probes.stop()
