"""`tenantry views new` makes a package that is right as it is, and `tenantry views check` says so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tenantry.cli.main import main

NAMES = ("b", "notice-board", "a-view-whose-name-is-very-long")


def run(directory: Path, *command: str) -> tuple[int, str]:
    """The exit code and output of a module of Python, in a directory."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "MYPY_CACHE_DIR": str(directory / ".mypy_cache")}
    found = subprocess.run(
        [sys.executable, "-m", *command], cwd=directory, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return found.returncode, found.stdout + found.stderr


@pytest.mark.parametrize("name", NAMES)
def test_what_is_made_is_formatted(name: str, tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert main(["views", "new", name, "--directory", str(made)]) == 0
    left = [path for path in made.rglob("*") if path.is_file() and re.search(r"@\w+@", path.read_text())]
    assert left == []
    for arguments in (("ruff", "format", "--check", "."), ("ruff", "check", ".")):
        code, output = run(made, *arguments)
        assert code == 0, output


def test_what_is_made_passes_its_checks(tmp_path: Path) -> None:
    made = tmp_path / "made"
    main(["views", "new", "notice-board", "--directory", str(made)])
    for arguments in (("mypy",), ("pytest", "-q", "-p", "no:cacheprovider")):
        code, output = run(made, *arguments)
        assert code == 0, output
    code, output = run(made, "tenantry.cli.main", "views", "check", "notice_board_view:NoticeBoard")
    assert code == 0, output
    assert len([line for line in output.splitlines() if " ok " in line]) >= 14


def test_a_check_that_fails_is_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["views", "check", "tests.cli.view_check.views:Raises", "-o", "json"]) == 1
    assert "KeyError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["new", "Notes"], "is not a DNS label"),
        (["check", "nothing"], "no installed package has a view named nothing; there are: syncer, upsyncer, workspaces"),
        (["check", "tests.cli.view_check.views:Nothing"], "has no Nothing"),
        (["check", "tests.cli.view_check.views:ANN"], "is no subclass of View"),
        (["check", "no.such.module:View"], "No module named"),
        (["check", "tests.virtual.machines:Machines"], "Machines has no `fixture`"),
    ],
)
def test_wrong_usage(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["views", *arguments]) == 2
    assert why in capsys.readouterr().err


def test_a_directory_that_exists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["views", "new", "notes", "--directory", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
