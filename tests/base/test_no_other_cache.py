"""What is remembered of something that a tenant sent is in a `tenantry.base.cache.Cache`, and in nothing else.

The code is read for the ways in which something else would remember it: functools' caches, tables of a module that functions
fill, tables that are emptied when they have so many entries, tables whose keys are weak (a value that refers to its key keeps
it), and functions of the standard library that remember what they were asked. Attributes that grow are found by
`tests/tenancy/test_memory.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support.sources import sources

ALLOWED = {
    "tenantry/http/gate.py: self._guesses, emptied by the number of its entries": ("the short names of tenants; 1024 entries"),
    "tenantry/http/upstream.py: urlsplit": "the URLs of shards",
    "tenantry/cli/probe.py: urlsplit": "the operator's URL",
    "tenantry/kube/codec/protobuf_messages.py: lru_cache": "no arguments: one table of the built-in types",
    "tenantry/kube/openapi/descriptions.py: cache": "no arguments: one file",
    "tenantry/kube/openapi/fragment.py: cache": "by the form of the document and of its encoding, and a flag",
    "tenantry/kube/openapi/root_documents.py: cache": "by path: the program's own, and one for each built-in group",
    "tenantry/kube/workloads/facts.py: lru_cache": "no arguments: the resources and messages of one file",
    "tenantry/kube/schema/cel_grammar.py: cache": "no arguments: the grammar of the language",
    "tenantry/kube/schema/cel_declarations.py: cache": "no arguments: the functions of the environment",
    "tenantry/kube/schema/cel_functions/arguments.py: cache": "by the language's functions, and by at most ten numbers",
    "tenantry/kube/schema/formats.py: re.compile of a pattern that is not the program's": (
        "made of the program's, when it is loaded"
    ),
    "tenantry/storage/etcd/config.py: urlsplit": "the operator's endpoints",
    "tenantry/storage/sqlite/writer.py: cache": "by the number of rows of a statement, which a batch bounds",
    "tenantry/tenancy/admission/policies/policy_index.py: self._met, emptied by the number of its entries": (
        "its bytes count in the cache that holds it, and its keys are bounded"
    ),
    "tenantry/tenancy/authorization/cluster_access.py: self._decisions, emptied by the number of its entries": (
        "its bytes count in the cache that holds it, and its keys are bounded"
    ),
    "tenantry/tenancy/flowcontrol/standard_contents.py: lru_cache": "no arguments: the standard objects",
    "tenantry/tenancy/types/virtual_workspace.py: cache": "no arguments: one schema",
    "tenantry/tenancy/workspaces/initial_contents.py: lru_cache": "the server's own definitions and certificate; 8 entries",
    "tenantry/virtual/declared/shown_definition.py: cache": "no arguments: one schema",
    "gateway/main.py: urlsplit": "the operator's URL",
}
"""Where in the code, and why it is bounded by something that no tenant chooses."""

FUNCTOOLS = {"lru_cache", "cache", "cached_property"}
REMEMBERING = {"urlsplit", "urlparse", "urljoin", "urldefrag", "fnmatch", "fnmatchcase", "filter", "WeakKeyDictionary"}
FROM = {"urllib.parse": {"urlsplit", "urlparse", "urljoin", "urldefrag"}, "weakref": {"WeakKeyDictionary"}, "fnmatch": {"*"}}
FILLING = {"setdefault", "update", "add", "append", "extend"}
EMPTYING = {"clear", "popitem"}
RE = {"compile", "match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}


def files() -> Iterator[tuple[str, ast.Module]]:
    yield from ((name, tree) for name, tree in sources() if name != "tenantry/base/cache.py")


def found(tree: ast.Module) -> Iterator[str]:
    """What the module remembers things with, by name; a table that functions fill by the table's name."""
    tables = set(_tables(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module == "functools":
                yield from sorted(FUNCTOOLS & names)
            banned = FROM.get(node.module or "", set())
            yield from sorted(names if "*" in banned else banned & names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "functools" and node.attr in FUNCTOOLS:
                yield node.attr
            if node.value.id in ("weakref", "parse", "fnmatch") and node.attr in REMEMBERING:
                yield node.attr
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "urllib.parse" and node.attr in REMEMBERING:
            yield node.attr
        elif isinstance(node, ast.If):
            yield from _emptied(node)
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
        for node in ast.walk(function):
            yield from (name for name in _filled(node) if name in tables)
            if isinstance(node, ast.Call) and _is_re(node.func) and node.args and not isinstance(node.args[0], ast.Constant):
                yield f"re.{node.func.attr} of a pattern that is not the program's"  # type: ignore[attr-defined]


def _tables(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        value = getattr(node, "value", None)
        called = value.func.id if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""
        if isinstance(value, ast.Dict | ast.List | ast.Set) or called in (
            "dict",
            "list",
            "set",
            "defaultdict",
            "OrderedDict",
            "deque",
        ):
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _filled(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name):
        yield node.value.id
    function = node.func if isinstance(node, ast.Call) else None
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.attr in FILLING:
        yield function.value.id


def _emptied(node: ast.If) -> Iterator[str]:
    """`if len(table) …: table.clear()`, or one entry of it is dropped."""
    measured = {ast.dump(call.args[0]) for call in ast.walk(node.test) if isinstance(call, ast.Call) and _name(call) == "len"}
    for statement in node.body:
        for call in ast.walk(statement):
            function = call.func if isinstance(call, ast.Call) else None
            if isinstance(function, ast.Attribute) and function.attr in EMPTYING and ast.dump(function.value) in measured:
                yield f"{ast.unparse(function.value)}, emptied by the number of its entries"


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _is_re(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
        and function.attr in RE
    )


def test_nothing_else_remembers() -> None:
    uses = {f"{path}: {name}" for path, tree in files() for name in found(tree)}
    assert uses - set(ALLOWED) == set(), (
        "keep it in a tenantry.base.cache.Cache, or say above why no tenant chooses how much there is"
    )
    assert set(ALLOWED) - uses == set(), "allowed, and no longer there"


@pytest.mark.parametrize(
    "source",
    [
        "from functools import lru_cache",
        "import functools\n@functools.cache\ndef f(x): pass",
        "_memo = {}\ndef f(x):\n    _memo[x] = 1",
        "_memo: dict[str, int] = {}\ndef f(x):\n    return _memo.setdefault(x, 1)",
        "class A:\n    def f(self, x):\n        if len(self._memo) >= 5:\n            self._memo.clear()",
        "class A:\n    def f(self, x):\n        if len(self._memo) > 5:\n            self._memo.popitem(last=False)",
        "from weakref import WeakKeyDictionary",
        "from urllib.parse import quote, urlsplit",
        "from urllib import parse\ndef f(x):\n    return parse.urlsplit(x)",
        "import urllib.parse\ndef f(x):\n    return urllib.parse.urlsplit(x)",
        "import weakref\n_x = weakref.WeakKeyDictionary()",
        "import re\ndef f(pattern, text):\n    return re.match(pattern, text)",
    ],
)
def test_the_reading_finds_each_way(source: str) -> None:
    assert list(found(ast.parse(source)))
