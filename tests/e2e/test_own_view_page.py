"""The commands of docs/virtual-workspaces.md as they stand there: with the view in the server, and in a process of its own."""

from __future__ import annotations

import re
import shlex
import site
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.readme import README, blocks, follow
from tests.support.forms import DISTRIBUTED, ONE_PROCESS, Distributed, Platform, platform
from tests.support.tools import program
from tools.spawning import executed_by

PAGE = README.parent / "docs" / "virtual-workspaces.md"
ETCD = "http://etcd:2379"
"""Where the page says that etcd is."""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with an environment that has what this one has, into which packages can be installed."""
    folder = tmp_path / "checkout"
    venv.create(folder / ".venv", symlinks=True)
    (target,) = (folder / ".venv").glob("lib/python*/site-packages")
    (target / "all.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in site.getsitepackages()))
    for name, module in (("pip", "pip"), ("tenantry", "tenantry.cli.main")):
        command = folder / ".venv" / "bin" / name
        command.write_text(f'#!/bin/sh\nexec "{folder}/.venv/bin/python" -m {module} "$@"\n')
        command.chmod(0o755)
    return folder


@contextmanager
def with_the_view(form: str, checkout: Path, folder: Path) -> Iterator[Platform]:
    """A platform that has started after the package was installed. With processes of their own, the shards do not have it."""
    installed = executed_by(str(checkout / ".venv" / "bin" / "python"))
    if form == ONE_PROCESS:
        with platform(form, folder, spawn=installed) as running:
            yield running
        return
    with platform(DISTRIBUTED, folder) as running:
        assert isinstance(running, Distributed)
        (command,) = re.findall(r"^    tenantry (views --only .*)$", PAGE.read_text(), re.MULTILINE)
        flags = shlex.split(command.replace(ETCD, running.fleet.etcd.url))[1:]
        running.fleet.add_views("views-1", *flags, spawn=installed)
        yield running


def test_the_commands_on_the_page(form: str, checkout: Path, tmp_path: Path) -> None:
    program("kubectl", "it comes with kubernetes-client")
    install, *story = blocks(page=PAGE)
    assert len([output for _, output in story if output]) == 1
    follow([install], checkout)
    with with_the_view(form, checkout, tmp_path) as running:
        (checkout / ".tenantry").mkdir()
        (checkout / ".tenantry" / "admin.kubeconfig").symlink_to(running.kubeconfig)
        follow(story, checkout)


def test_links_lead_somewhere() -> None:
    for page in PAGE.parent.glob("*.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
