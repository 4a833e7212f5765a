"""The words of code and documents: the field's (glossary of ARCHITECTURE.md), in plain English for readers of a second language.

A file that has to use one of the words is in `ALLOWED`, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SOURCES = (
    "tenantry",
    "registry",
    "shard",
    "gateway",
    "views",
    "tenantry_personal_workspaces",
    "tenantry_syncer",
    "tenantry_sync_agent",
    "protos",
    "docs",
    ".",
)
"""Directories with everything in them; of the last one only its own files."""

WORDS = {
    r"\buntold\b|\bhitherto\b|\bwhence\b|\bnaught\b|\blest\b": "a word of today",
    r"\bwishe?s?\b": "request",
    r"print_of|_too_dear|\bBugs\b|_leave_access": "the field's name",
    r"how-manyth": "a number",
    r"\b_?settled?\b": "done, synced, in flight",
    r"\b(?:leads now|leads no more)\b": "became leader, stopped leading",
    r"\bbroken off\b": "failed",
    r"\b(?:worth while|worth the while)\b": "worthwhile",
    r"\bwhoever\b|\bwhosever\b": "the subject: the caller, the client, a shard",
    r"\b(?:somebody|nobody|anybody)\b": "the subject: another process, no client, any tenant",
    r"\banew\b": "again",
    r"\bto and fro\b": "back and forth",
    r"\bfor ever\b": "what ends it, or `until it is cancelled`",
    r"\bunasked\b": "unexpected, without a request",
    r"\b(?:held|holds?)\b[^.]{0,40}\branges?\b|\branges?\b[^.]{0,40}\bheld\b": "own",
    r"\bunder way\b|\bon (?:its|their) way\b": "in progress, in flight",
    r"\bcan not\b": "cannot",
    r"\b(?:began|begins?|begun) again\b": "restart, retry",
    r"\ball the same\b|\bagain and again\b": "still, repeatedly",
    r"\b(?:came|comes|becomes|became) of (?:it|one|what)\b": "the outcome",
    r"\bof no use\b|\bin vain\b": "does not help",
    r"\bseldom\b|\bscarcely\b": "rarely",
    r"\bfront door\b": "front proxy",
    r"\bprojections?\b": "copy",
    r"\bfleets?\b": "platform",
    r"\bmay enter\b": "may access",
    r"\bis no (?:number|error code|HTTP)\b": "is not a",
    r"^\s*\"\"\"(?:Those|Of|Whose|As one|With it)\b": "a sentence with a subject",
    r"^log = logging\b": "logger",
}
"""Patterns, and what to write instead."""

ALLOWED: Mapping[str, tuple[str, ...]] = {
    # Kubernetes' texts of errors.
    "tenantry/kube/workloads/validation/container_parts.py": ("\"can not contain backsteps ('..')\"",),
    "tenantry/kube/workloads/validation/scheduling.py": ('"can not be empty"',),
    "tenantry/kube/workloads/validation/storage.py": ('"field can not be empty."',),
    "tenantry/kube/workloads/validation/volumes.py": ('"fieldRef and resourceFieldRef can not be specified simultaneously"',),
    "tenantry/http/callers.py": ('UNAUTHENTICATED = "nobody"',),  # Unix's name of the user without rights
}
"""By file: pieces of lines that are not searched."""


def files() -> Iterator[Path]:
    for name in SOURCES:
        found = (ROOT / name).glob("*") if name == "." else (ROOT / name).rglob("*")
        for path in found:
            if path.suffix in (".py", ".proto", ".md") and "_proto" not in path.parts and "__pycache__" not in path.parts:
                yield path


def findings(patterns: Mapping[str, str]) -> list[str]:
    """`file:line: word (what to write instead)` for each match."""
    compiled = [
        (re.compile(pattern, re.IGNORECASE if pattern == pattern.lower() else 0), say) for pattern, say in patterns.items()
    ]
    found: list[str] = []
    for path in sorted(files()):
        name = path.relative_to(ROOT).as_posix()
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for piece in ALLOWED.get(name, ()):
                line = line.replace(piece, "")
            found += [
                f"{name}:{number}: {match[0].strip()!r} (write: {say})"
                for pattern, say in compiled
                if (match := pattern.search(line)) is not None
            ]
    return found


def test_there_are_sources() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in files()}
    assert {*SOURCES[:-1], "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"} <= names


def test_words_that_are_used_nowhere() -> None:
    assert findings(WORDS) == []


@pytest.mark.parametrize("path", ALLOWED)
def test_what_is_allowed_is_there(path: str) -> None:
    text = (ROOT / path).read_text()
    assert [piece for piece in ALLOWED[path] if piece not in text] == []
