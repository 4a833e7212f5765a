"""What the documents name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_NAMED = re.compile(r"(?<![\w/.-])((?:[\w-]+/)*[\w-]+\.(?:py|proto))\b")
"""A file, whole or by the end of its path, with or without backticks (as in a picture)."""
_FOLDERS = ("tenantry", "registry", "shard", "gateway", "tenantry_personal_workspaces", "tests", "tools", "benchmarks", "protos")
_OTHERS = frozenset({"view.py", "setup.py", "generated.proto"})
"""Of other projects, and of examples."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    present = ["/" + str(path.relative_to(ROOT)) for folder in _FOLDERS for path in (ROOT / folder).rglob("*.*")]
    named = set(_NAMED.findall(document.read_text())) - _OTHERS
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in present)] == []
