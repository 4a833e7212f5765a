"""The README's commands, run as they stand there, and what it says that they print."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.readme import README, blocks, follow
from tests.support.tools import program
from tools.server import Server


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A directory that looks like a checkout with `make start` running."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    with Server(tmp_path / ".tenantry"):
        yield tmp_path


def test_commands_print_what_the_readme_says(checkout: Path) -> None:
    program("kubectl", "it comes with kubernetes-client")
    story = blocks()
    assert len(story) > 8
    follow(story, checkout)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text()):
        assert (README.parent / target).exists(), target
