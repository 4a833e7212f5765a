"""CONTRIBUTING names files that exist, and its walks name what these files have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenantry.virtual.view import View

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
PATHS = sorted(
    {
        *re.findall(r"`((?:tenantry|tests|tools|docs|registry|shard|gateway)/[\w./]*)`", TEXT),
        *re.findall(r"\]\(([\w./-]+)\)", TEXT),
    }
)
WALKS = {found.group(1): found.group(2) for found in re.finditer(r"^### (.*?)\n(.*?)(?=^##)", TEXT, re.DOTALL | re.MULTILINE)}


def _quoted(walk: str) -> list[str]:
    return [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", walk)]


def _files(walk: str) -> list[Path]:
    """The files that a walk names, and those of the folders that it names."""
    named = [ROOT / text.rstrip("/") for text in _quoted(walk) + re.findall(r"\]\(([\w./-]+)\)", walk) if "<" not in text]
    found = [path for path in named if path.is_file()]
    for folder in named:
        if folder.is_dir():
            found += folder.glob("*.py")
    return found


def _names(walk: str) -> list[str]:
    """What a walk says in the code's words: names of classes, fields, functions, tables and options, and no files."""
    return [
        text for text in _quoted(walk) if re.fullmatch(r"[A-Za-z_][\w.]*", text) and not re.search(r"\.(py|proto|toml)$", text)
    ]


def test_there_are_some() -> None:
    assert len(PATHS) > 20
    assert len(WALKS) == 3 and all(len(_names(walk)) > 3 for walk in WALKS.values())


@pytest.mark.parametrize("path", PATHS)
def test_the_path_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("title", WALKS)
def test_the_files_of_a_walk_have_the_names_that_it_says(title: str) -> None:
    walk = WALKS[title]
    texts = [path.read_text() for path in _files(walk)]
    assert [name for name in _names(walk) if not any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for text in texts)] == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("tenantry/apiserver/streams.py", "WatchRequest"),
        ("tenantry/apiserver/verbs/options.py", "DeleteOptions"),
        ("tenantry/apiserver/verbs/options.py", "ListOptions"),
        ("tenantry/apiserver/verbs/options.py", "WriteOptions"),
        ("tenantry/kube/discovery.py", "_GROUP_ORDER"),
        ("tenantry/kube/openapi/paths.py", "_DELETION"),
        ("tenantry/kube/openapi/paths.py", "_SELECTION"),
        ("tenantry/kube/openapi/paths.py", "_WRITING"),
        ("tenantry/kube/types/__init__.py", "BUILTINS"),
        ("tenantry/virtual/builtin_views.py", "builtin_views"),
        ("tenantry/virtual/view.py", "allows"),
        ("tests/growth/test_queries.py", "PARAMETERS"),
        ("tests/kube/types/test_builtin_types.py", "test_every_type_is_consistent"),
        ("tests/kube/openapi/test_openapi.py", "test_paths"),
    ],
)
def test_the_name_is_there(path: str, name: str) -> None:
    assert name in TEXT and name in (ROOT / path).read_text()


def test_a_view_has_what_the_walk_says() -> None:
    said = re.search(r"with its (.*?) where it shows", WALKS["A new view (virtual workspace)"], re.DOTALL)
    assert said is not None
    names = re.findall(r"`(\w+)`", said.group(1))
    assert names == ["name", "allows", "apis", "sees", "show"]
    assert [name for name in names if name not in vars(View)] == []
