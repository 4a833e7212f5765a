"""Declared views: the page's examples as they stand there, and unmodified clients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.readme import README, blocks, follow
from tests.support.forms import ONE_PROCESS, platform
from tests.support.tools import program

PAGE = README.parent / "docs" / "declared-views.md"
STORY = "A provider and its consumers"


@pytest.fixture
def checkout(form: str, tmp_path: Path) -> Iterator[Path]:
    """A directory in which the README's commands find the platform."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    with platform(form, tmp_path) as running:
        if form == ONE_PROCESS:
            (folder / ".tenantry").symlink_to(running.access)
        else:
            (folder / ".tenantry").mkdir()
            (folder / ".tenantry" / "admin.kubeconfig").symlink_to(running.kubeconfig)
        yield folder


def test_the_examples_on_the_page(checkout: Path) -> None:
    program("kubectl", "it comes with kubernetes-client")
    examples = blocks(page=PAGE)
    assert len([output for _, output in examples if output]) == 3
    follow([*blocks(STORY), *examples], checkout)
