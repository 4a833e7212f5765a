"""Where plugins of admission are, and what they are called: what ARCHITECTURE.md says of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import PurePath

import pytest

from tests.support.sources import sources

FRAMEWORK = "tenantry/apiserver/admission/"
HOMES = {
    "tenantry/tenancy/admission",
    "tenantry/tenancy/exports/admission",
    "tenantry/tenancy/replication/admission",
    "tenantry/tenancy/workspaces/admission",
    "tenantry/virtual/admission",
    "tenantry/virtual/apiexport/admission",
    "tenantry/virtual/declared/admission",
}
"""A folder that is new here belongs to a package with rules of its own."""


def admissions(tree: ast.Module) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    """Classes with a method of `Admission`, subclasses of `Plugin`, and functions of a module that would do instead of them."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            if _bases(node) & {"Plugin", "Admission"} or any(_judges(each) for each in node.body):
                yield node
        elif (
            isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and _judges(node, {"admit", "mutate", "validate"})
        ):
            yield node


def _bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def _judges(node: ast.AST, names: frozenset[str] | set[str] = frozenset({"mutate", "validate"})) -> bool:
    """Whether it is a function of one of these names, or of one that begins with it, on a Review."""
    if not isinstance(node, ast.FunctionDef) or not any(re.match(rf"{name}(_|$)", node.name) for name in names):
        return False
    return any(isinstance(each.annotation, ast.Name) and each.annotation.id == "Review" for each in node.args.args)


def problems(path: str, tree: ast.Module) -> Iterator[str]:
    found = list(admissions(tree))
    for node in found:
        if str(PurePath(path).parent) not in HOMES:
            yield f"{path}: {node.name} is admission, outside of the folders of plugins"
        if not isinstance(node, ast.ClassDef) or "Plugin" not in _bases(node):
            yield f"{path}: {node.name} is no subclass of Plugin"
        words = "".join(word.capitalize() for word in PurePath(path).stem.split("_"))
        if node.name != f"{words}Admission":
            yield f"{path}: {node.name} would be {words}Admission"
    if len(found) > 1:
        yield f"{path}: {len(found)} plugins in one file"


def test_every_plugin_is_where_and_what_it_should_be() -> None:
    modules = [(path, tree) for path, tree in sources() if not path.startswith(FRAMEWORK)]
    assert [problem for path, tree in modules for problem in problems(path, tree)] == []
    assert {str(PurePath(path).parent) for path, tree in modules if any(admissions(tree))} == HOMES


HOME = "tenantry/tenancy/admission/quota.py"
GOOD = "class QuotaAdmission(Plugin):\n    def validate(self, review: Review) -> None: ..."


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("tenantry/tenancy/exports/quota.py", GOOD),
        (HOME, GOOD.replace("(Plugin)", "")),
        (HOME, GOOD.replace("QuotaAdmission", "Quota")),
        (HOME, f"{GOOD}\n{GOOD}"),
        (HOME, "def admit_quota(review: Review) -> None: ..."),
        (HOME, "class Quota(Plugin): ..."),
    ],
)
def test_the_reading_finds_each_way(path: str, source: str) -> None:
    assert not list(problems(HOME, ast.parse(GOOD)))
    assert list(problems(path, ast.parse(source)))
