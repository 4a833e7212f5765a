"""Programs that a test needs and a machine may lack."""

from __future__ import annotations

import os
import re
import shutil
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

_VERSIONED = re.compile(r"kubectl\.1\.\d+")


def program(name: str, why: str) -> str:
    """The path of a program. Where it is missing the test is skipped with what to install, or fails if clients are required
    (`TENANTRY_REQUIRE_CLIENTS`, which CI sets)."""
    found = shutil.which(name)
    if not found:
        missing(f"{name} is not installed: {why}")
    return found


def missing(text: str) -> NoReturn:
    """The test is skipped, or fails if clients are required."""
    if os.environ.get("TENANTRY_REQUIRE_CLIENTS"):
        pytest.fail(text)
    pytest.skip(text)


@cache
def kubectls() -> list[str]:
    """Every kubectl of this machine: `kubectl` itself, and `kubectl.1.NN` beside the real file."""
    default = shutil.which("kubectl")
    if default is None:
        return []
    beside = sorted(p for p in Path(default).resolve().parent.iterdir() if _VERSIONED.fullmatch(p.name))
    return [str(p) for p in beside] or [default]
