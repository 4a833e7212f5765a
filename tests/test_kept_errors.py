"""An error that a variable or an attribute keeps is not raised: it refers to the frames that it goes through, one of which refers
to it then. Only the collector frees such a cycle, and with it whatever the frames were at work on.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.sources import sources

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def kept(tree: ast.Module) -> Iterator[str]:
    """What is raised though it is kept."""
    above = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name | ast.Attribute | ast.Subscript):
            name = ast.unparse(node.exc)
            if not name.rpartition(".")[2].lstrip("_")[:1].isupper() and not _forgotten(node, name, above):
                yield name


def _forgotten(node: ast.AST, name: str, above: dict[ast.AST, ast.AST]) -> bool:
    """Whether the variable is gone when the error leaves the function: that of its handler, or one that is deleted at last."""
    while node in above and not isinstance(node, FUNCTIONS):
        node = above[node]
        if isinstance(node, ast.ExceptHandler) and node.name == name:
            return True
        if isinstance(node, ast.Try) and any(
            isinstance(each, ast.Delete) and name in map(ast.unparse, each.targets) for each in node.finalbody
        ):
            return True
    return False


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("raise ValueError('x')", []),
        ("raise Spent", []),
        ("raise module.Spent", []),
        ("try:\n  f()\nexcept E as error:\n  raise error from None", []),
        ("try:\n  f()\nexcept E as error:\n  raise", []),
        ("try:\n  raise failed\nfinally:\n  del failed", []),
        ("wrong = E()\nraise wrong", ["wrong"]),
        ("raise self._error", ["self._error"]),
        ("raise errors[0]", ["errors[0]"]),
        ("try:\n  f()\nexcept E as error:\n  other = error\nraise other", ["other"]),
        ("try:\n  f()\nexcept E as error:\n  def g():\n    raise error", ["error"]),
    ],
)
def test_what_is_found(source: str, expected: list[str]) -> None:
    assert list(kept(ast.parse(source))) == expected


def test_nothing_that_is_kept_is_raised() -> None:
    assert {f"{path}: {name}" for path, tree in sources() for name in kept(tree)} == set()
