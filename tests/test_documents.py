"""What the documents name exists, what ARCHITECTURE says of the code holds, lines fit a screen, and the glossary is short."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tenantry.kube.types import BUILTINS

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_NAMED = re.compile(r"(?<![\w/.-])((?:[\w-]+/)*[\w-]+\.(?:py|proto))\b")
"""A file, whole or by the end of its path, with or without backticks (as in a picture)."""
_FOLDERS = (
    "tenantry",
    "registry",
    "shard",
    "gateway",
    "views",
    "tenantry_personal_workspaces",
    "tenantry_syncer",
    "tenantry_sync_agent",
    "tests",
    "tools",
    "benchmarks",
    "protos",
)
_OTHERS = frozenset({"view.py", "setup.py", "generated.proto"})
"""Of other projects, and of examples."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    present = ["/" + str(path.relative_to(ROOT)) for folder in _FOLDERS for path in (ROOT / folder).rglob("*.*")]
    named = set(_NAMED.findall(document.read_text())) - _OTHERS
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in present)] == []


LINE_CHARACTERS = 130
TERMS_MAX = 30
SOURCES = ("Kubernetes", "etcd", "kcp", "client-go", "cell-based architecture", "fencing token", "tenantry")


def _prose(document: Path) -> list[str]:
    """Lines but those of tables and headings, which cannot be wrapped, and of blocks between fences, which are code."""
    lines, fenced = [], False
    for line in document.read_text().splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith(("|", "#")):
            lines.append(line)
    return lines


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_line_of_prose_is_too_long(document: Path) -> None:
    assert [line for line in _prose(document) if len(line) > LINE_CHARACTERS] == []


def test_the_glossary_is_short_and_says_whose_each_word_is() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text().partition("## Glossary")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")][2:]
    terms = [term for row in rows for term in re.split(r", | and ", row[0])]
    assert len(rows) > 20 and len(terms) <= TERMS_MAX
    assert len(set(terms)) == len(terms)
    assert [row for row in rows if len(row) != 3 or not row[1] or row[2].partition(":")[0] not in SOURCES] == []


def test_decisions_are_numbered_without_gaps() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    assert [page.name for page in pages if not page.read_text().startswith(f"# {int(page.name[:4])}. ")] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_links_to_is_there(document: Path) -> None:
    links = re.findall(r"\]\(([\w./-]+)(?:#[\w-]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_the_class_or_function_that_a_document_says(document: Path) -> None:
    """In the form `file.py: Name`."""
    files = [path for folder in _FOLDERS for path in (ROOT / folder).rglob("*.py")]
    for name, defined in re.findall(r"`([\w/]+\.py): (\w+)`", document.read_text()):
        texts = [path.read_text() for path in files if str(path).endswith(f"/{name}")]
        assert any(re.search(rf"^(?:class |(?:async )?def |){defined}\b", text, re.MULTILINE) for text in texts), (name, defined)


def test_no_verb_asks_for_a_types_name() -> None:
    names = {name for definition in BUILTINS for name in (definition.plural, definition.kind)}
    verbs = (ROOT / "tenantry" / "apiserver" / "verbs").glob("*.py")
    constants = (
        (verb.name, node.value)
        for verb in verbs
        for node in ast.walk(ast.parse(verb.read_text()))
        if isinstance(node, ast.Constant)
    )
    assert [(verb, value) for verb, value in constants if value in names] == []
