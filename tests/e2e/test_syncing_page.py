"""The commands of docs/syncing.md as they stand there, after those of the README."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.readme import README, blocks, follow
from tests.support.forms import platform
from tests.support.tools import program

PAGE = README.parent / "docs" / "syncing.md"
STORY = "A provider and its consumers"


@pytest.mark.views
def test_the_commands_on_the_page(form: str, tmp_path: Path) -> None:
    program("kubectl", "it comes with kubernetes-client")
    checkout = tmp_path / "checkout"
    (checkout / ".tenantry").mkdir(parents=True)
    (checkout / ".venv").symlink_to(sys.prefix)
    commands = blocks(page=PAGE)
    assert len([output for _, output in commands if output]) == 1
    with platform(form, tmp_path) as running:
        (checkout / ".tenantry" / "admin.kubeconfig").symlink_to(running.kubeconfig)
        follow([*blocks(STORY), *commands], checkout)
