"""The product's own code, for tests that read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OURS = ("tenantry", "registry", "shard", "gateway", "views", "tenantry_personal_workspaces")


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every module by its path from the root, without what is generated."""
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "_proto" not in path.parts:
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text())
