"""A stack of docker-compose.yml, for each module that wants one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.deploy.compose_stack import ComposeStack
from tests.support.tools import missing, program

RANGE_CAPACITY = 4


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeStack]:
    docker = program("docker", "it runs docker-compose.yml")
    for question, lack in ((("version",), "no Docker engine answers"), (("compose", "version"), "docker has no compose plug-in")):
        done = subprocess.run([docker, *question], capture_output=True, text=True, check=False)
        if done.returncode:
            missing(f"{lack}: {done.stderr.strip()}")
    directory = tmp_path_factory.mktemp("stack")
    with ComposeStack(docker, directory, TENANTRY_RANGE_CAPACITY=str(RANGE_CAPACITY)) as running:
        yield running
