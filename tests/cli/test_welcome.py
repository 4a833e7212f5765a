"""What `tenantry start` tells its user to type."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tenantry.cli.start import command_here


@pytest.mark.parametrize(
    ("called", "on_path", "shown"),
    [
        (".venv/bin/tenantry", False, ".venv/bin/tenantry"),
        (".venv/bin/tenantry", True, "tenantry"),
        ("/usr/lib/tenantry/cli/main.py", False, "tenantry"),
    ],
)
def test_the_command_is_one_that_the_shell_finds(
    called: str, on_path: bool, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_path:
        (tmp_path / "tenantry").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", [called, "start"])
    assert command_here() == shown
