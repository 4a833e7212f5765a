"""A configuration file that is loaded again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tenantry.apiserver import configuration_file
from tenantry.apiserver.configuration_file import ConfigurationFile, NotYet
from tenantry.kube.server_configuration.decoding import ConfigurationError
from tests.support.logged import logged
from tests.support.waiting import eventually


class Used:
    def __init__(self) -> None:
        self.contents: list[bytes] = []
        self.error: Exception | None = None

    async def __call__(self, content: bytes) -> None:
        self.contents.append(content)
        if content == b"wrong":
            raise ConfigurationError("it is wrong")
        if content == b"later":
            raise NotYet("an issuer does not answer")


def made(path: Path, used: Used) -> ConfigurationFile:
    path.write_bytes(b"first")
    return ConfigurationFile(
        path, b"first", name="test configuration", prefix="test_config", process="p", use=used, look_seconds=0.01
    )


def counts(file: ConfigurationFile) -> dict[str, float]:
    return {
        sample.labels["status"]: sample.value
        for metric in file.collect()
        for sample in metric.samples
        if sample.name == "test_config_automatic_reloads_total"
    }


def used_hash(file: ConfigurationFile) -> str:
    return next(
        sample.labels["hash"] for metric in file.collect() for sample in metric.samples if sample.name.endswith("_config_info")
    )


def errors(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record.__dict__["error"] for record in logged(caplog, configuration_file.__name__)]


async def test_what_is_loaded_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, used = tmp_path / "config", Used()
    file = made(path, used)
    first = used_hash(file)
    await file.look()
    assert used.contents == [] and first.startswith("sha256:")
    path.write_bytes(b"second")
    await file.look()
    await file.look()
    assert used.contents == [b"second"] and counts(file) == {"success": 1, "failure": 0}
    assert used_hash(file) != first
    second = used_hash(file)
    # One that is wrong is tried once.
    path.write_bytes(b"wrong")
    with caplog.at_level(logging.ERROR):
        await file.look()
        await file.look()
    assert used.contents == [b"second", b"wrong"] and counts(file) == {"success": 1, "failure": 1}
    assert used_hash(file) == second
    assert errors(caplog) == ["it is wrong"]
    # One that cannot be used yet is tried again, and logged once.
    path.write_bytes(b"later")
    with caplog.at_level(logging.ERROR):
        await file.look()
        await file.look()
    assert used.contents[2:] == [b"later", b"later"] and counts(file)["failure"] == 3
    assert len(errors(caplog)) == 2
    path.unlink()
    await file.look()
    assert counts(file)["failure"] == 4
    path.write_bytes(b"third")
    await file.look()
    assert used.contents[-1] == b"third" and counts(file)["success"] == 2


async def test_the_file_is_followed(tmp_path: Path) -> None:
    path, used = tmp_path / "config", Used()
    file = made(path, used)
    file.start()
    try:
        path.write_bytes(b"second")
        await eventually(lambda: used.contents == [b"second"])
    finally:
        await file.stop()
