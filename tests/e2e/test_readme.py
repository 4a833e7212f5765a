"""The README's commands, run as they stand there, and what it says that they print."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.readme import README, blocks, follow
from tests.support.forms import ONE_PROCESS, platform
from tests.support.tools import program
from tools.spawning import executed

KUBECONFIG = "export KUBECONFIG=.tenantry/admin.kubeconfig\n"
OTHER_KUBECONFIG = "export KUBECONFIG=admin.kubeconfig"
"""What is different with the distributed form, as the README has it."""


@pytest.fixture
def checkout(form: str, tmp_path: Path) -> Iterator[Path]:
    """A directory that looks like a checkout with `make start` running, or the distributed form and an admin.kubeconfig."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / ".venv").symlink_to(sys.prefix)
    with platform(form, tmp_path, spawn=executed) as running:
        (folder / ".tenantry").symlink_to(running.access)
        if form != ONE_PROCESS:
            (folder / "admin.kubeconfig").symlink_to(running.kubeconfig)
        yield folder


def test_commands_print_what_the_readme_says(form: str, checkout: Path) -> None:
    program("kubectl", "it comes with kubernetes-client")
    story = blocks()
    assert len(story) > 8
    if form != ONE_PROCESS:
        commands, output = story[0]
        assert OTHER_KUBECONFIG in README.read_text() and commands.startswith(KUBECONFIG)
        story[0] = f"{OTHER_KUBECONFIG}\n{commands.removeprefix(KUBECONFIG)}", output
    follow(story, checkout)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text()):
        assert (README.parent / target).exists(), target
