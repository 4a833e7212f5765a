"""`tenantry views new`: makes a package with a view, its tests, and what it takes to build and check it."""

from __future__ import annotations

import argparse
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,28}[a-z0-9])?")
_FILES = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "Dockerfile": "Dockerfile.txt",
    ".gitignore": "gitignore.txt",
    ".github/workflows/ci.yml": "ci.yml.txt",
    "@module@/__init__.py": "init.py.txt",
    "@module@/view.py": "view.py.txt",
    "@module@/fixture.py": "fixture.py.txt",
    "tests/__init__.py": "",
    "tests/test_view.py": "test_view.py.txt",
}
"""File of the package → file of `view_template`; empty: an empty file. `@…@` stands for a name."""


def add_command(commands: Any) -> None:
    """Adds the sub-command to an argparse sub-parser collection."""
    new = commands.add_parser(
        "new",
        help="make a package with a view",
        description="Makes a package with a view, its tests, a Dockerfile and CI. It passes its tests, ruff and mypy as it is.",
    )
    new.add_argument("name", help="name of the view: a DNS label of up to 30 characters that begins with a letter")
    new.add_argument("--directory", type=Path, help="where to make it; default: a directory of that name. It must not exist")
    new.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from tenantry.virtual.installed_views import VERSION

    name: str = options.name
    if not _NAME.fullmatch(name):
        print(
            f"tenantry: {name!r} is not a DNS label in lower case of up to 30 characters that begins with a letter",
            file=sys.stderr,
        )
        return 2
    directory: Path = options.directory or Path(f"{name}-view")
    if directory.exists():
        print(f"tenantry: {directory} exists already", file=sys.stderr)
        return 2
    names = {
        "name": name,
        "project": f"{name}-view",
        "module": f"{name.replace('-', '_')}_view",
        "class": "".join(part.capitalize() for part in name.split("-")),
        "version": VERSION,
    }
    template = files("tenantry.cli") / "view_template"
    for path, source in _FILES.items():
        target = directory / _filled(path, names)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(_filled((template / source).read_text(), names) if source else "")
    print(f"{directory} has the view {name}. Try it:\n\n    cd {directory}\n    pip install --editable '.[dev]'\n    pytest")
    return 0


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"@{name}@", value)
    return text
