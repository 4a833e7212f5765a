"""CONTRIBUTING names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PATHS = sorted(
    {
        *re.findall(r"`((?:tenantry|tests|tools|docs|registry|shard|gateway)/[\w./]*)`", TEXT),
        *re.findall(r"\]\(([\w./-]+)\)", TEXT),
    }
)


def test_there_are_some() -> None:
    assert len(PATHS) > 20


@pytest.mark.parametrize("path", PATHS)
def test_the_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("tenantry/kube/discovery.py", "_GROUP_ORDER"),
        ("tenantry/kube/openapi/paths.py", "_SELECTION"),
        ("tenantry/kube/types/__init__.py", "BUILTINS"),
        ("tenantry/virtual/builtin_views.py", "builtin_views"),
        ("tests/kube/openapi/test_openapi.py", "test_paths"),
    ],
)
def test_the_name_is_there(path: str, name: str) -> None:
    assert name in TEXT and name in (ROOT / path).read_text()
